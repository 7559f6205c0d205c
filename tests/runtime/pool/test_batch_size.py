"""How many architectures at once, by figures alone."""

import pytest

from raynas.runtime.pool.batch_size import MAX_SHARE, MOST, BatchSize, deal


def learnt(seconds: float, overhead: float) -> BatchSize:
    size = BatchSize()
    size.add_evaluation(seconds)
    size.add_exchange(overhead)
    return size


def test_one_at_a_time_until_something_is_known() -> None:
    size = BatchSize()
    assert size.size() == 1
    size.add_evaluation(0.001)
    assert size.size() == 1
    assert size.overhead == 0


@pytest.mark.parametrize(
    ("seconds", "overhead", "expected"),
    [(10, 0.003, 1), (0.06, 0.003, 1), (0.024, 0.003, 2), (0.005, 0.003, 3), (0.0001, 0.003, MOST), (0.0, 0.003, MOST)],
)
def test_quick_evaluations_are_given_ahead(seconds: float, overhead: float, expected: int) -> None:
    assert learnt(seconds, overhead).size() == expected


@pytest.mark.parametrize("seconds", [10**exponent for exponent in range(-5, 2)])
@pytest.mark.parametrize("overhead", [0.0005, 0.003, 0.05])
def test_an_evaluator_does_not_wait_for_more_than_its_share(seconds: float, overhead: float) -> None:
    size = learnt(seconds, overhead).size()
    ahead = (size // 2) * seconds if size > 1 else 0.0  # what is left when the next ones are sent for
    waits = max(0.0, overhead - ahead)
    assert waits <= MAX_SHARE * seconds * size or size == MOST


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.1])
def test_a_generation_ends_within_two_exchanges_and_an_evaluation(seconds: float) -> None:
    overhead = 0.003
    assert learnt(seconds, overhead).size() * seconds <= 2 * seconds + 2 * overhead


def test_what_was_measured_last_counts_most() -> None:
    size = learnt(5.0, 0.003)  # the first one warms up
    for _ in range(100):
        size.add_evaluation(0.001)
    assert size.size() > 5


def test_what_waits_is_shared_where_that_is_quicker() -> None:
    size = learnt(0.0001, 0.003)
    assert not size.is_worth_sharing(0, 100)
    assert not size.is_worth_sharing(3, 0.0002)
    assert size.is_worth_sharing(3, 0.1)


def test_new_ones_go_to_who_has_least() -> None:
    assert deal([0, 0, 0], 5, 4) == [2, 2, 1]
    assert deal([3, 0], 3, 4) == [0, 3]
    assert deal([4, 1], 3, 4) == [0, 3]
    assert deal([1, 1], 0, 4) == [0, 0]
    assert deal([], 0, 4) == []
