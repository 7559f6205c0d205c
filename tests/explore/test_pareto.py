"""Pareto dominance against its definitions: all pairs compared, cells of a grid counted."""

import itertools
import math
import time
from collections.abc import Callable
from random import Random

import pytest

from raynas.errors import OptionError
from raynas.explore import crowding_distance, dominates, hypervolume, non_dominated_sort, pareto_front

Points = list[tuple[int, ...]]


def _grids(num: int, num_objectives: int | None = None, size: int = 10) -> list[Points]:
    """Sets of points on a small grid, so that there are ties, duplicates and empty sets among them."""
    rng, grids = Random(0), []
    for _ in range(num):
        objectives = num_objectives or rng.randint(1, 5)
        high = rng.randint(1, 5)
        grids.append([tuple(rng.randint(-1, high) for _ in range(objectives)) for _ in range(rng.randint(0, size))])
    return grids


def _on_sphere(rng: Random, num_objectives: int) -> tuple[float, ...]:
    drawn = [abs(rng.gauss(0, 1)) for _ in range(num_objectives)]
    return tuple(value / math.hypot(*drawn) for value in drawn)


# --- dominance, fronts and ranks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((3, 2), (3, 1), True),
        ((3, 2), (1, 4), False),
        ((3, 2), (3, 2), False),
        ((1,), (2,), False),
        ((2.5,), (2,), True),
        ((-1, -5, 0), (-2, -5, 0), True),
    ],
)
def test_a_point_dominates_what_is_nowhere_better_and_somewhere_worse(first: Points, second: Points, expected: bool) -> None:
    assert dominates(first, second) is expected


def test_the_front_is_what_nothing_dominates_and_of_equals_the_first() -> None:
    for points in _grids(600):
        expected = [
            number
            for number, point in enumerate(points)
            if points.index(point) == number and not any(dominates(other, point) for other in points)
        ]
        assert pareto_front(points) == expected, points


def test_ranks_are_those_of_taking_front_after_front_away() -> None:
    for points in _grids(600):
        expected, left = [-1] * len(points), set(range(len(points)))
        for rank in itertools.count():
            if not left:
                break
            front = {at for at in left if not any(dominates(points[other], points[at]) for other in left)}
            for at in front:
                expected[at] = rank
            left -= front
        assert non_dominated_sort(points) == expected, points


# --- crowding --------------------------------------------------------------------------------------------------------


def test_crowding_is_the_sum_of_the_distances_between_neighbours() -> None:
    points = [(3, 2), (0, 8), (4, 0), (1, 6)]
    assert crowding_distance(points) == [(4 - 1) / 4 + (6 - 0) / 8, math.inf, math.inf, (3 - 0) / 4 + (8 - 2) / 8]


def test_units_do_not_matter_for_crowding() -> None:
    points = [(0.5, 8.0), (1.0, 6.0), (3.0, 2.0), (4.0, 0.0)]
    assert crowding_distance([(1000 * x - 7, y / 64) for x, y in points]) == pytest.approx(crowding_distance(points))


def test_one_or_two_points_have_all_the_room() -> None:
    assert crowding_distance([]) == []
    assert crowding_distance([(1, 2)]) == [math.inf]
    assert crowding_distance([(1, 2), (1, 2)]) == [math.inf, math.inf]


def test_an_objective_in_which_all_are_equal_adds_nothing() -> None:
    points = [(0, 8), (1, 6), (3, 2), (4, 0)]
    assert crowding_distance([(x, 5, y) for x, y in points]) == crowding_distance(points)
    assert crowding_distance([(5,)] * 4) == [0.0] * 4


# --- hypervolume -----------------------------------------------------------------------------------------------------


def _count_cells(points: Points, reference: tuple[int, ...]) -> int:
    """The volume in unit cells of the grid, each counted once however many points cover it."""
    boxes = ([range(low, value) for low, value in zip(reference, point, strict=True)] for point in points)
    return len({cell for box in boxes for cell in itertools.product(*box)})


@pytest.mark.parametrize("num_objectives", [1, 2, 3, 4, 5])
def test_hypervolume_is_the_number_of_cells_below_the_points(num_objectives: int) -> None:
    rng = Random(1)
    for points in _grids(60, num_objectives):
        reference = tuple(rng.randint(-2, 1) for _ in range(num_objectives))
        assert hypervolume(points, reference) == _count_cells(points, reference), (points, reference)


def test_hypervolume_of_many_objectives_is_the_sum_over_all_subsets() -> None:
    rng = Random(2)
    points = [tuple(rng.random() for _ in range(7)) for _ in range(8)]
    subsets = (subset for size in range(1, 9) for subset in itertools.combinations(points, size))
    expected = sum((-1) ** (len(subset) + 1) * math.prod(map(min, zip(*subset, strict=True))) for subset in subsets)
    assert hypervolume(points, [0] * 7) == pytest.approx(expected, rel=1e-12)


def test_a_point_that_is_not_better_than_the_reference_adds_nothing() -> None:
    assert hypervolume([(5, 1), (1, 5), (0, 0)], (1, 1)) == 0.0
    assert hypervolume([(5, 1), (3, 3)], (1, 1)) == 4.0
    assert hypervolume([], (1, 1)) == 0.0


def test_minimised_objectives_are_negated() -> None:
    assert hypervolume([(0.9, -4.0), (0.8, -2.0)], reference=(0.5, -10.0)) == pytest.approx(0.4 * 6 + 0.3 * 2)


def test_a_better_point_makes_it_larger_and_a_dominated_one_does_not() -> None:
    rng = Random(3)
    for num_objectives in (2, 3, 4):
        points = [_on_sphere(rng, num_objectives) for _ in range(20)]
        volume = hypervolume(points, [0] * num_objectives)
        worse = [tuple(0.9 * value for value in point) for point in points]
        assert hypervolume([*worse, *points], [0] * num_objectives) == pytest.approx(volume, rel=1e-12)
        better = tuple(1.01 * value for value in points[0])
        assert hypervolume([*points, better], [0] * num_objectives) > volume


# --- large sets ------------------------------------------------------------------------------------------------------


def _seconds(call: Callable[[], object]) -> float:
    def once() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return min(once() for _ in range(2))


def test_a_front_of_20_000_points_takes_well_under_a_second() -> None:
    points = [(float(number), float(20_000 - number)) for number in range(20_000)]
    Random(0).shuffle(points)
    assert len(pareto_front(points)) == 20_000
    assert hypervolume(points, (0, 0)) == 20_000 * 19_999 / 2
    for call in (
        lambda: pareto_front(points),
        lambda: non_dominated_sort(points),
        lambda: crowding_distance(points),
        lambda: hypervolume(points, (0, 0)),
    ):
        assert _seconds(call) < 1.0


def test_three_objectives_are_as_cheap() -> None:
    rng = Random(0)
    points = [_on_sphere(rng, 3) for _ in range(5_000)]
    assert len(pareto_front(points)) == 5_000
    assert math.pi / 6 - 0.02 < hypervolume(points, (0, 0, 0)) < math.pi / 6  # an eighth of the ball
    assert _seconds(lambda: hypervolume(points, (0, 0, 0))) < 0.5


def test_four_objectives_of_a_usual_front_are_quick() -> None:
    rng = Random(0)
    points = [_on_sphere(rng, 4) for _ in range(100)]
    assert _seconds(lambda: hypervolume(points, [0] * 4)) < 1.0


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [[(1, 2), (1, 2, 3)], [(), ()], [(1.0, math.nan)], [(math.inf, 1.0)]])
def test_points_that_do_not_fit_each_other_are_refused(points: list[tuple[float, ...]]) -> None:
    for function in (pareto_front, non_dominated_sort, crowding_distance):
        with pytest.raises(OptionError, match="expected"):
            function(points)
    with pytest.raises(OptionError, match="expected"):
        hypervolume(points, (0, 0))


def test_the_reference_has_as_many_objectives() -> None:
    with pytest.raises(OptionError, match=r"\[2, 3\] objectives"):
        hypervolume([(1, 2, 3)], (0, 0))
    with pytest.raises(OptionError, match=r"\[1, 2\] objectives"):
        dominates((1,), (1, 2))
