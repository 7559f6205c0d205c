"""Three pictures of a search: progress, trade-off, choices. Each takes a table of trials and gives a Figure.

That of a front is in ``front_plot``, those of a training are in ``training_plot``. Colours and type are in ``theme``; choices
are counted in ``choices`` and drawn in ``strip_plot``.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from raynas.errors import OptionError
from raynas.explore.history import COLUMNS, COMPLETED
from raynas.report import theme
from raynas.report.axes import COST_NAMES, Numbers, inches_of, limit_metric, name_axes, name_metric, new_axes, scale_cost
from raynas.report.choices import choice_strips
from raynas.report.quantities import format_compact, format_number, shorten
from raynas.report.strip_plot import StripWords, draw_strips
from raynas.report.theme import BEST, MUTED, NORMAL, SMALL, STEPS, SURFACE, drawing
from raynas.space import Architecture, SearchSpace

MAX_KEYS = 30
MAX_MARKS = 4_000  # more dots than that are drawn as pixels, or the page grows to megabytes


@drawing()
def plot_best_so_far(trials: pa.Table, metric: str, mode: str) -> Figure:
    """Draw each completed trial as a dot, and the best value so far as a line.

    Args:
        trials: a table of trials, as in ``trials.parquet``.
        metric: the metric to draw.
        mode: ``"max"`` or ``"min"``: which values are better.

    Raises:
        OptionError: no completed trial has that metric, or the mode is neither.
    """
    ids, values = completed_values(trials, metric, mode)
    best = np.maximum.accumulate(values) if mode == "max" else np.minimum.accumulate(values)
    at = int(np.argmax(best == best[-1]))
    figure, axes = new_axes(3.3, top=0.36, bottom=0.52)
    many = len(ids) > MAX_MARKS
    axes.scatter(ids, values, s=3 if many else 11, color=theme.DOT, linewidths=0, alpha=0.75, rasterized=many)
    axes.step(ids, best, where="post", color=theme.LINE, linewidth=2, solid_joinstyle="miter")
    axes.plot(ids[at], best[at], "o", markersize=7, color=BEST, markeredgecolor=SURFACE, markeredgewidth=1.2)
    span = max(ids[-1] - ids[0], 1)
    axes.set_xlim(ids[0] - 0.015 * span, ids[-1] + 0.015 * span)
    limit_metric(axes, values, mode)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    late = ids[at] > ids[0] + 0.5 * span
    _annotate(axes, (ids[at], best[at]), f"{format_number(float(best[at]))} in trial {ids[at]:,.0f}", left=late, mode=mode)
    name_axes(figure, axes, x="trial, in the order of the proposals", y=name_metric(metric, mode))
    return figure


@drawing()
def plot_tradeoff(trials: pa.Table, metric: str, mode: str, *, cost: str = "flops", limit: float | None = None) -> Figure:
    """Draw each completed trial at its metric and its cost, later trials in a stronger colour, and mark the best.

    The thin line is the front: the best metric that is to be had at no more than that cost.

    Args:
        trials: a table of trials, as in ``trials.parquet``.
        metric: the metric to draw.
        mode: ``"max"`` or ``"min"``: which values are better.
        cost: the metric on the horizontal axis, less being better.
        limit: the most that an architecture may cost, drawn as a vertical line.

    Raises:
        OptionError: no completed trial has both metrics, or the mode is neither.
    """
    _, values, costs = completed_values(trials, metric, mode, cost)
    figure, axes = new_axes(3.7, top=0.5, bottom=0.52)
    step = np.arange(len(values)) * len(STEPS) // len(values)
    many = len(values) > MAX_MARKS
    size = 4 if many else 17
    for number, colour in enumerate(STEPS):
        mine = step == number
        axes.scatter(costs[mine], values[mine], s=size, color=colour, linewidths=0, alpha=0.9, rasterized=many)
    _draw_front(axes, costs, values, mode=mode)
    if limit is not None:
        axes.axvline(limit, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    best = int(np.argmax(values) if mode == "max" else np.argmin(values))
    axes.plot(costs[best], values[best], "o", markersize=8, color=BEST, markeredgecolor=SURFACE, markeredgewidth=1.2)
    limit_metric(axes, values, mode)
    scale_cost(axes, costs, limit)
    text = f"{format_number(float(values[best]))} at {format_compact(costs[best])}"
    right = axes.transAxes.inverted().transform(axes.transData.transform((costs[best], values[best])))[0] > 0.6
    _annotate(axes, (costs[best], values[best]), text, left=bool(right), mode=mode)
    name_axes(figure, axes, x=shorten(COST_NAMES.get(cost, cost), 60), y=name_metric(metric, mode))
    _draw_order(figure, axes)
    return figure


@drawing()
def plot_choices(space: SearchSpace, trials: pa.Table, *, best: Architecture | None = None) -> Figure:
    """Draw for each key how often its candidates were chosen as the search went on: a row each, the darker the more often.

    All trials count, whatever became of them: this is what the searcher proposed. Shares are of the trials in which the
    key was active. Only the first 30 keys are drawn; of a key with many candidates the most chosen ones.

    Args:
        space: the search space.
        trials: a table of trials, as in ``trials.parquet``.
        best: the architecture whose choices are printed in bold.

    Raises:
        OptionError: there is no completed trial.
        ArchitectureError: a trial does not fit the space.
    """
    if COMPLETED not in trials.column("state").to_pylist():
        raise OptionError("there are no completed trials to draw")
    ids = trials.column("id").to_pylist()
    ends = f"trial {min(ids):,}", f"trial {max(ids):,}"
    strips = choice_strips(space, trials, best=best, max_keys=MAX_KEYS)
    return draw_strips(strips, StripWords("share of trials", "share of the last fifth", ends))


@drawing()
def to_svg(figure: Figure) -> str:
    """The picture as an SVG element: no XML header, no date, the same characters for the same picture."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return re.sub(r"^.*?(?=<svg)", "", text.getvalue(), count=1, flags=re.DOTALL)


@drawing()
def save_png(figure: Figure, path: str | Path) -> None:
    """Write the picture to a PNG file, at 150 dots per inch."""
    figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def completed_values(trials: pa.Table, metric: str, mode: str, *others: str) -> tuple[Numbers, ...]:
    """The ids of the completed trials, ascending, with their values of ``metric`` and of ``others``, all of them finite.

    Raises:
        OptionError: there is no such trial, or the mode is neither ``"max"`` nor ``"min"``.
    """
    if mode not in ("max", "min"):
        raise OptionError(f'mode is {mode!r}; expected "max" or "min"')
    names = [f"metric_{name}" if name in COLUMNS else name for name in (metric, *others)]  # as history renames them
    completed = np.array([state == COMPLETED for state in trials.column("state").to_pylist()], dtype=bool)
    if not completed.any():
        raise OptionError("there are no completed trials to draw")
    for name in names:
        if name not in trials.column_names:
            raise OptionError(f"no trial has reported {name!r}; the columns are {', '.join(trials.column_names)}")
    columns = [trials.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False) for name in ("id", *names)]
    usable = np.flatnonzero(completed & np.all(np.isfinite(columns), axis=0))
    if not len(usable):
        raise OptionError(f"there are no completed trials with {' and '.join(names)} to draw")
    usable = usable[np.argsort(columns[0][usable], kind="stable")]
    return tuple(column[usable] for column in columns)


def _draw_front(axes: Axes, costs: Numbers, values: Numbers, *, mode: str) -> None:
    order = np.lexsort((-values if mode == "max" else values, costs))
    best = np.maximum.accumulate(values[order]) if mode == "max" else np.minimum.accumulate(values[order])
    axes.step(costs[order], best, where="post", color=MUTED, linewidth=1, alpha=0.7)


def _annotate(axes: Axes, point: tuple[float, float], text: str, *, left: bool, mode: str) -> None:
    axes.annotate(
        text, point, xytext=(-7 if left else 7, 6 if mode == "max" else -6), textcoords="offset points",
        ha="right" if left else "left", va="bottom" if mode == "max" else "top", color=BEST, weight="bold", fontsize=NORMAL,
    )  # fmt: skip


def _draw_order(figure: Figure, axes: Axes) -> None:
    """The key to the colours of the trials, above the axes at the right."""
    width, height = inches_of(figure, axes)
    y, right = 1 + 0.33 / height, 1 - 0.62 / width
    for number, colour in enumerate(reversed(STEPS)):
        axes.plot(right - 0.13 * number / width, y, "o", markersize=5, color=colour, transform=axes.transAxes, clip_on=False)
    axes.text(1, y, "last trials", transform=axes.transAxes, ha="right", va="center", color=MUTED, fontsize=SMALL)
    left = right - (0.13 * (len(STEPS) - 1) + 0.08) / width
    axes.text(left, y, "first trials", transform=axes.transAxes, ha="right", va="center", color=MUTED, fontsize=SMALL)
