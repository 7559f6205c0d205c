"""The picture of a Pareto front among all trials of a search with several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from raynas.errors import OptionError
from raynas.explore import Objective
from raynas.report.axes import Numbers, inches_of, limit_metric, name_axes, name_metric, new_axes, plain_formatter, scale_cost
from raynas.report.front import front_indices
from raynas.report.plots import MAX_MARKS, completed_values
from raynas.report.quantities import format_compact, format_number, shorten
from raynas.report.theme import DOT, INK, LINE, MUTED, SMALL, STEPS, SURFACE, drawing

_FAR_APART = 30  # from that factor on shades follow the logarithm, as the axis of costs does


@drawing()
def plot_front(trials: pa.Table, metrics: Sequence[str], modes: Sequence[str]) -> Figure:
    """Draw each completed trial as a dot, the first metric against the second, and the front as larger dots.

    The line is the best of the first metric that is to be had at each value of the second. A third metric is the shade of
    the dots; the front is then that of all metrics together, and the line still that of the first two.

    Args:
        trials: a table of trials, as in ``trials.parquet``.
        metrics: two or more metrics: the vertical axis, the horizontal one, the shade.
        modes: ``"max"`` or ``"min"`` for each: which values are better.

    Raises:
        OptionError: there are fewer than two metrics, not as many modes, or no completed trial has all of the metrics.
    """
    objective = Objective(metrics, modes)
    if len(objective.metrics) < 2:
        raise OptionError(f"a front is drawn of two metrics or more; found {', '.join(objective.metrics)}")
    columns = completed_values(trials, objective.metrics[0], objective.modes[0], *objective.metrics[1:])[1:]
    values, others = columns[:2]
    on_front = np.zeros(len(values), dtype=bool)
    on_front[front_indices(columns, objective)] = True
    figure, axes = new_axes(3.9, top=0.5, bottom=0.52)
    shades = _shades(columns[2]) if len(columns) > 2 else np.where(on_front, LINE, DOT)
    many, ring = len(values) > MAX_MARKS, INK if len(columns) > 2 else SURFACE
    for which, size, edge in ((~on_front, 4 if many else 15, "none"), (on_front, 30, ring)):
        axes.scatter(
            others[which], values[which], s=size, color=shades[which].tolist(), edgecolors=edge, linewidths=0.9,
            rasterized=int(which.sum()) > MAX_MARKS, zorder=3 if edge == ring else 1,
        )  # fmt: skip
    _draw_steps(axes, columns, objective)
    limit_metric(axes, values, objective.modes[0], keep=values[on_front])
    scale_cost(axes, others, None)
    for axis, shown in ((axes.xaxis, others), (axes.yaxis, values)):
        _number(axis, float(np.abs(shown).max()))
    names = [name_metric(name, mode) for name, mode in zip(objective.metrics, objective.modes, strict=True)]
    name_axes(figure, axes, x=names[1], y=names[0])
    if len(columns) > 2:
        _draw_scale(figure, axes, names[2], columns[2])
    else:
        _draw_key(figure, axes)
    return figure


def _number(axis: Axis, most: float) -> None:
    """Thousands with a prefix, one all along the axis; less as it is."""
    if axis.get_scale() == "linear" and most >= 1_000:
        axis.set_major_formatter(FuncFormatter(lambda value, _: format_compact(value, like=most)))
    elif axis.get_scale() == "linear" and most >= 1e-3:
        axis.set_major_formatter(plain_formatter())


def _shades(values: Numbers) -> NDArray[np.str_]:
    """The colour of each value, the stronger the larger."""
    low, high = values.min(), values.max()
    if low > 0 and high > _FAR_APART * low:
        values, low, high = np.log(values), np.log(low), np.log(high)
    steps = ((values - low) / ((high - low) or 1.0) * len(STEPS)).astype(int)
    colours: NDArray[np.str_] = np.array(STEPS)[np.minimum(steps, len(STEPS) - 1)]
    return colours


def _draw_steps(axes: Axes, columns: Sequence[Numbers], objective: Objective) -> None:
    """The front of the first two metrics, as a line on which each point is the best at its place."""
    two = Objective(objective.metrics[:2], objective.modes[:2])
    values, others = (column[front_indices(columns[:2], two)] for column in columns[:2])
    order = np.argsort(others)
    where: Literal["pre", "post"] = "post" if two.modes[1] == "min" else "pre"  # what costs less is to be had as well
    if len(columns) > 2:
        axes.step(others[order], values[order], where=where, color=MUTED, linewidth=1, alpha=0.7, zorder=2)
    else:
        axes.step(others[order], values[order], where=where, color=LINE, linewidth=1.6, solid_joinstyle="miter", zorder=2)


def _draw_key(figure: Figure, axes: Axes) -> None:
    """What the two kinds of dots are, above the axes at the right."""
    width, height = inches_of(figure, axes)
    y, right = 1 + 0.33 / height, 1.0
    for text, colour, size, inches in (("other trials", DOT, 4.0, 0.64), ("on the front", LINE, 6.0, 0.68)):
        axes.text(right, y, text, transform=axes.transAxes, ha="right", va="center", color=MUTED, fontsize=SMALL)
        right -= (inches + 0.1) / width
        axes.plot(right, y, "o", markersize=size, color=colour, markeredgewidth=0, transform=axes.transAxes, clip_on=False)
        right -= 0.18 / width


def _draw_scale(figure: Figure, axes: Axes, name: str, values: Numbers) -> None:
    """What the shades are, above the axes at the right: the name of the metric, its least value, its largest."""
    width, height = inches_of(figure, axes)
    y, right = 1 + 0.33 / height, 1.0
    ends = [
        format_compact(value) if abs(value) >= 1_000 else format_number(value)
        for value in map(float, (values.max(), values.min()))
    ]
    axes.text(right, y, ends[0], transform=axes.transAxes, ha="right", va="center", color=MUTED, fontsize=SMALL)
    right -= (0.065 * len(ends[0]) + 0.1) / width
    for colour in reversed(STEPS):
        axes.plot(right, y, "o", markersize=5, color=colour, transform=axes.transAxes, clip_on=False)
        right -= 0.13 / width
    text = f"{shorten(name, 50)}   {ends[1]}"
    axes.text(right + 0.03 / width, y, text, transform=axes.transAxes, ha="right", va="center", color=MUTED, fontsize=SMALL)
