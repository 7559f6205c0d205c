"""Pareto dominance: fronts, ranks, crowding and hypervolume of points, larger being better in every objective.

Points are sequences of numbers of one length, one for each objective. Constraints are left to whoever has them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import inf, isfinite, prod
from operator import ge

from raynas.errors import OptionError

Point = Sequence[float]
_Read = tuple[float, ...]


def dominates(first: Point, second: Point) -> bool:
    """Whether ``first`` is nowhere worse than ``second`` and somewhere better.

    Raises:
        OptionError: the two do not have as many objectives, or a value is not finite.

    Example:
        >>> dominates((3, 2), (3, 1)), dominates((3, 2), (3, 2)), dominates((3, 2), (1, 4))
        (True, False, False)
    """
    read, other = _read([first, second])
    return read != other and _covers(read, other)


def pareto_front(points: Sequence[Point]) -> list[int]:
    """The indices, ascending, of the points that no other dominates; of equal points only the first.

    Two or three objectives take O(n log n) comparisons, more take O(n · size of the front).

    Raises:
        OptionError: the points do not all have as many objectives, or a value is not finite.

    Example:
        >>> pareto_front([(0.9, 5.0), (0.8, 7.0), (0.8, 6.0), (0.9, 5.0)])
        [0, 1]
    """
    return sorted(_first_front(_read(points)))


def non_dominated_sort(points: Sequence[Point]) -> list[int]:
    """The rank of each point: 0 on the Pareto front, 1 on the front of what is left without it, and so on.

    The ranks are those of the fast non-dominated sort of Deb et al., "A fast and elitist multiobjective genetic algorithm:
    NSGA-II", 2002, section III-A; equal points have equal ranks. They are found one point after the other, from the
    largest on, by bisection among the fronts so far (Zhang et al., "An efficient approach to nondominated sorting for
    evolutionary multiobjective optimization", 2015), which takes O(n log n) for two objectives.

    Raises:
        OptionError: the points do not all have as many objectives, or a value is not finite.

    Example:
        >>> non_dominated_sort([(1, 1), (3, 2), (2, 3), (2, 2)])
        [2, 0, 0, 1]
    """
    read = _read(points)
    ranks = [0] * len(read)
    fronts: list[list[_Read]] = []
    for number in sorted(range(len(read)), key=read.__getitem__, reverse=True):
        point = read[number]
        rank = _rank_among(fronts, point)
        if rank == len(fronts):
            fronts.append([])
        fronts[rank].append(point)
        ranks[number] = rank
    return ranks


def crowding_distance(points: Sequence[Point]) -> list[float]:
    """How much room each point of one front has: Deb et al. 2002, section III-B.

    The sum over the objectives of the distance between its two neighbours there, as a share of the range of all points;
    infinite for the first and the last in an objective. An objective in which all are equal adds nothing.

    Raises:
        OptionError: the points do not all have as many objectives, or a value is not finite.

    Example:
        >>> crowding_distance([(0, 8), (1, 6), (3, 2), (4, 0)])
        [inf, 1.5, 1.5, inf]
    """
    read = _read(points)
    if len(read) <= 2:
        return [inf] * len(read)
    distances = [0.0] * len(read)
    for values in zip(*read, strict=True):
        order = sorted(range(len(values)), key=values.__getitem__)
        first, last = order[0], order[-1]
        reach = values[last] - values[first]
        if not reach:
            continue
        distances[first] = distances[last] = inf
        for before, number, after in zip(order, order[1:], order[2:], strict=False):
            distances[number] += (values[after] - values[before]) / reach
    return distances


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The volume of all that is better than ``reference`` and not better than every point: exact.

    A point that is not better than the reference in each objective adds nothing. Up to three objectives take
    O(n log n), by sweeping along one of them; more are brought down to three one at a time by the exclusive volumes of
    While, Bradstreet and Barone, "A fast way of calculating exact hypervolumes" (WFG), IEEE TEC 2012.

    Args:
        points: dominated ones and duplicates may be among them.
        reference: what is just not good enough, one value for each objective.

    Raises:
        OptionError: points and reference do not all have as many objectives, or a value is not finite.

    Example:
        >>> hypervolume([(1, 3), (2, 2), (3, 1)], reference=(0, 0))
        6.0
    """
    base, *read = _read([reference, *points])
    shifted = [tuple(value - least for value, least in zip(point, base, strict=True)) for point in read]
    better = [point for point in shifted if min(point) > 0]
    return float(_volume([better[number] for number in _first_front(better)]))


class _Stairs:
    """The front of points with two objectives, both positive, sorted by the first; and the area below it."""

    def __init__(self) -> None:
        self._widths: list[float] = []  # ascending
        self._heights: list[float] = []  # descending
        self.area = 0.0

    def covers(self, width: float, height: float) -> bool:
        """Whether a point of the front is at least as large in both."""
        at = bisect_left(self._widths, width)
        return at < len(self._heights) and self._heights[at] >= height

    def add(self, width: float, height: float) -> None:
        """Add a point that is not covered; those that it covers go."""
        at = bisect_left(self._widths, width)
        end = bisect_right(self._widths, width, at)
        right, below = width, self._heights[at] if at < len(self._heights) else 0.0
        while at and self._heights[at - 1] <= height:
            at -= 1
            self.area += (right - self._widths[at]) * (height - below)
            right, below = self._widths[at], self._heights[at]
        self.area += (right - (self._widths[at - 1] if at else 0.0)) * (height - below)
        self._widths[at:end], self._heights[at:end] = [width], [height]


def _read(points: Sequence[Point]) -> list[_Read]:
    read = [tuple(point) for point in points]
    lengths = {len(point) for point in read}
    if len(lengths) > 1 or 0 in lengths:
        raise OptionError(f"points with {sorted(lengths)} objectives; expected as many for each of them, at least one")
    for point in read:
        if not all(map(isfinite, point)):
            raise OptionError(f"found the point {point}; expected finite numbers, larger is better")
    return read


def _covers(first: _Read, second: _Read) -> bool:
    return all(map(ge, first, second))


def _rank_among(fronts: list[list[_Read]], point: _Read) -> int:
    """The first front that does not dominate the point: what a front dominates, those before it dominate too."""
    return bisect_left(fronts, True, key=lambda front: not _is_dominated(point, front))


def _is_dominated(point: _Read, front: list[_Read]) -> bool:
    """Whether a member dominates the point, which no member follows in the order of tuples."""
    if len(point) <= 2:  # the last member is the largest in the second objective
        return front[-1] != point and front[-1][-1] >= point[-1]
    return any(member != point and _covers(member, point) for member in reversed(front))


def _first_front(points: list[_Read]) -> list[int]:
    """Indices of the front, of equal points the first, the largest point first."""
    order = sorted(range(len(points)), key=points.__getitem__, reverse=True)  # what dominates a point comes before it
    front: list[int] = []
    if points and len(points[0]) > 3:
        members: list[_Read] = []
        for number in order:
            if not any(_covers(member, points[number]) for member in members):
                members.append(points[number])
                front.append(number)
        return front
    stairs = _Stairs()
    for number in order:
        _, width, height = (*points[number], 0.0, 0.0)[:3]
        if not stairs.covers(width, height):
            stairs.add(width, height)
            front.append(number)
    return front


def _volume(points: list[_Read]) -> float:
    """The volume above zero of points that are positive everywhere."""
    if not points:
        return 0.0
    if len(points[0]) <= 3:
        return _sweep([(*point, 1.0, 1.0)[:3] for point in points])
    total = 0.0
    points = sorted(points, key=lambda point: point[-1])
    for number, point in enumerate(points):
        # All that come later are at least as large in the last objective: what is left of them is one objective smaller.
        *box, height = point
        limited = [tuple(map(min, box, other)) for other in points[number + 1 :]]
        total += height * (prod(box) - _volume([limited[member] for member in _first_front(limited)]))
    return total


def _sweep(points: Sequence[_Read]) -> float:
    """The volume of points with three objectives, from the top of the last one down."""
    total, stairs = 0.0, _Stairs()
    order = sorted(points, key=lambda point: (-point[2], point[0]))
    for (width, height, top), bottom in zip(order, [*(point[2] for point in order[1:]), 0.0], strict=True):
        if not stairs.covers(width, height):
            stairs.add(width, height)
        total += stairs.area * (top - bottom)
    return total
