"""``EarlyStop``: counts validations without a better figure."""

import math

import pytest

from raynas.oneshot.early_stop import EarlyStop


@pytest.mark.parametrize(("mode", "sign"), [("max", 1), ("min", -1)])
def test_patience_counts_what_is_not_better(mode: str, sign: int) -> None:
    stop = EarlyStop(2, mode)
    told = [stop.tell(sign * value) for value in (1.0, 3.0, 2.0, 3.5, 3.5, 3.0)]
    assert told == [False, False, False, False, False, True]
    assert stop.best == sign * 3.5


def test_without_patience_it_never_stops() -> None:
    stop = EarlyStop(None, "max")
    assert not any(stop.tell(0.0) for _ in range(100))


def test_no_number_is_not_better() -> None:
    stop = EarlyStop(1, "max")
    stop.tell(1.0)
    assert stop.tell(math.nan)
    assert stop.best == 1


def test_it_goes_on_where_it_was() -> None:
    stop, again = EarlyStop(2, "max"), EarlyStop(2, "max")
    stop.tell(1.0)
    stop.tell(0.0)
    again.load_state_dict(stop.state_dict())
    assert again.tell(0.5)
