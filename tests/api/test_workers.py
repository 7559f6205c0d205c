from typing import Any

import pytest

from raynas.api.workers import check_workers
from raynas.errors import OptionError


@pytest.mark.parametrize("num_workers", [0, 1, 64, (1, 1), (2, 8), [1, 3]])
def test_a_number_and_two_are_taken(num_workers: Any) -> None:
    check_workers(num_workers, 0.5)


@pytest.mark.parametrize("num_workers", [-1, True, 1.0, "2", None, (0, 2), (3, 2), (1,), (1, 2, 3), (1, "2")])
def test_anything_else_is_refused(num_workers: Any) -> None:
    with pytest.raises(OptionError, match=r"num_workers is .*; expected a number, 0 for the calling process, or"):
        check_workers(num_workers, 1)


@pytest.mark.parametrize("wait", [0, -1.0, float("nan")])
def test_waiting_takes_time(wait: float) -> None:
    with pytest.raises(OptionError, match=r"wait is .*; expected seconds above 0"):
        check_workers(1, wait)
