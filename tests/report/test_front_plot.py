"""The picture of a front: who is on it, where its line runs, what is refused."""

import random
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from raynas.errors import OptionError
from raynas.explore import TrialRecord, trials_table
from raynas.explore.history import COMPLETED, FAILED
from raynas.report import plot_front, to_svg
from raynas.report.theme import DOT, LINE, STEPS
from raynas.space import SearchSpace

POINTS = [(0.9, 5.0), (0.8, 4.0), (0.7, 4.5), (0.95, 9.0), (0.9, 6.0)]  # of these the third and the last are dominated


def _table(
    space: SearchSpace, points: list[tuple[float, ...]], names: tuple[str, ...] = ("accuracy", "ms", "params")
) -> pa.Table:
    architecture = space.sample(random.Random(0))
    return trials_table(
        TrialRecord(number, architecture, state=COMPLETED, metrics=dict(zip(names, point, strict=False)))
        for number, point in enumerate(points)
    )


def _texts(figure: Figure) -> str:
    root = ElementTree.fromstring(to_svg(figure))
    return "\n".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))


def _dots(axes: Axes) -> list[list[list[float]]]:
    """The dots of the other trials and those of the front: horizontal, vertical."""
    return [np.asarray(each.get_offsets()).tolist() for each in axes.collections]


def test_the_first_metric_is_vertical_and_the_front_apart(space: SearchSpace) -> None:
    axes = plot_front(_table(space, POINTS), ("accuracy", "ms"), ("max", "min")).axes[0]
    others, front = _dots(axes)
    assert others == [[4.5, 0.7], [6.0, 0.9]]
    assert front == [[5.0, 0.9], [4.0, 0.8], [9.0, 0.95]]
    assert [to_hex(each.get_facecolor()[0]) for each in axes.collections] == [DOT, LINE]


@pytest.mark.parametrize(
    ("modes", "line", "where"),
    [
        (("max", "min"), [(4.0, 0.8), (5.0, 0.9), (9.0, 0.95)], "steps-post"),
        (("max", "max"), [(9.0, 0.95)], "steps-pre"),
        (("min", "min"), [(4.0, 0.8), (4.5, 0.7)], "steps-post"),
        (("min", "max"), [(4.5, 0.7), (6.0, 0.9), (9.0, 0.95)], "steps-pre"),
    ],
)
def test_the_line_joins_the_front_in_every_direction(
    space: SearchSpace, modes: tuple[str, str], line: list[tuple[float, float]], where: str
) -> None:
    drawn = plot_front(_table(space, POINTS), ("accuracy", "ms"), modes).axes[0].lines[0]
    assert np.asarray(drawn.get_xydata()).tolist() == [list(point) for point in line]
    assert drawn.get_drawstyle() == where


def test_names_and_directions_are_shown(space: SearchSpace) -> None:
    shown = _texts(plot_front(_table(space, POINTS), ("accuracy", "ms"), ("max", "min")))
    for text in ("accuracy (higher is better)", "ms (lower is better)", "on the front", "other trials"):
        assert text in shown


def test_a_third_metric_is_the_shade_and_counts_for_the_front(space: SearchSpace) -> None:
    points = [(*point, params) for point, params in zip(POINTS, (6e6, 5e6, 1e6, 3e6, 6.1e6), strict=True)]
    figure = plot_front(_table(space, points), ("accuracy", "ms", "params"), ("max", "min", "min"))
    axes = figure.axes[0]
    assert _dots(axes)[1] == [[5.0, 0.9], [4.0, 0.8], [4.5, 0.7], [9.0, 0.95]]  # few parameters bring the third one in
    shades = [to_hex(colour) for colour in axes.collections[1].get_facecolor()]
    assert [STEPS.index(shade) for shade in shades] == [5, 4, 0, 2]
    assert np.asarray(axes.lines[0].get_xydata()).tolist() == [[4.0, 0.8], [5.0, 0.9], [9.0, 0.95]]
    shown = _texts(figure)
    assert "params (lower is better)   1 M" in shown
    assert "6.1 M" in shown


def test_shades_of_what_is_far_apart_follow_the_logarithm(space: SearchSpace) -> None:
    points = [(0.1 * number, 5.0 + number, 10.0**number) for number in range(6)]
    axes = plot_front(_table(space, points), ("accuracy", "ms", "params"), ("max", "min", "min")).axes[0]
    assert [STEPS.index(to_hex(colour)) for colour in axes.collections[1].get_facecolor()] == [0, 1, 2, 3, 4, 5]


def test_the_front_never_falls_off_the_picture(space: SearchSpace) -> None:
    points = [(0.9 + number / 1000, 10.0 + number) for number in range(40)]
    figure = plot_front(_table(space, [*points, (-5.0, 1.0), (-99.0, 20.0)]), ("accuracy", "ms"), ("max", "min"))
    low, high = figure.axes[0].get_ylim()
    assert low < -5.0 < 0.94 < high
    assert "1 trial lies below the picture" in _texts(figure)


def test_thousands_have_a_prefix_on_both_axes(space: SearchSpace) -> None:
    table = _table(space, [(3e6, 5e4), (4e6, 9e4)])
    assert " M" in (shown := _texts(plot_front(table, ("accuracy", "ms"), ("min", "max"))))
    assert " k" in shown
    close = _texts(plot_front(_table(space, [(0.5, 92.11), (0.6, 92.14)]), ("accuracy", "ms"), ("max", "max")))
    assert "92.11" in close


@pytest.mark.parametrize("points", [[(0.5, 1.0)], [(0.5, 1.0)] * 3, [(0.0, 0.0), (0.0, -1.0)], [(1e-9, 1e12), (2e-9, 1.0)]])
def test_any_front_can_be_drawn(space: SearchSpace, points: list[tuple[float, float]]) -> None:
    table = _table(space, [(*point, point[1]) for point in points])
    for number in (2, 3):
        assert to_svg(plot_front(table, ("accuracy", "ms", "params")[:number], ("max",) * number)).startswith("<svg")


def test_many_trials_are_drawn_as_pixels(space: SearchSpace) -> None:
    table = _table(space, [(number / 5000, float(number)) for number in range(5000)])
    assert len(to_svg(plot_front(table, ("accuracy", "ms"), ("max", "max")))) < 500_000
    assert len(to_svg(plot_front(table, ("accuracy", "ms"), ("max", "min")))) < 900_000  # all of them on the front


def test_names_are_neither_markup_nor_mathematics(space: SearchSpace) -> None:
    names = ("a$b$", "<i>ms</i>", "$x_1$")
    svg = to_svg(plot_front(_table(space, [(1.0, 2.0, 3.0)], names), names, ("max",) * 3))
    assert "<i>" not in svg
    assert "a$b$" in svg


def test_the_same_picture_has_the_same_characters(space: SearchSpace) -> None:
    table = _table(space, POINTS)
    first, second = (to_svg(plot_front(table, ("accuracy", "ms"), ("max", "min"))) for _ in range(2))
    assert first == second


def test_what_cannot_be_drawn_is_refused(space: SearchSpace) -> None:
    table = _table(space, POINTS)
    with pytest.raises(OptionError, match="two metrics or more"):
        plot_front(table, ("accuracy",), ("max",))
    with pytest.raises(OptionError, match="one for each"):
        plot_front(table, ("accuracy", "ms"), ("max",))
    with pytest.raises(OptionError, match="'flops'"):
        plot_front(table, ("accuracy", "flops"), ("max", "min"))
    failed = trials_table([TrialRecord(0, space.sample(random.Random(0)), state=FAILED)])
    with pytest.raises(OptionError, match="no completed trials"):
        plot_front(failed, ("accuracy", "ms"), ("max", "min"))
