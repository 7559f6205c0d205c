"""Axes for the pictures: made, named and limited. What is drawn in them is in ``plots``."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, ScalarFormatter
from numpy.typing import NDArray

from raynas.report.quantities import format_compact, shorten
from raynas.report.theme import GRID, MUTED, SMALL, WIDTH

Numbers = NDArray[np.float64]
LEFT, RIGHT = 0.62, 0.18  # inches beside the axes
COST_NAMES = {"flops": "FLOPs", "params": "parameters"}


def new_axes(height: float, *, top: float, bottom: float) -> tuple[Figure, Axes]:
    """A figure of ``height`` inches with one pair of quiet axes; margins in inches."""
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((LEFT / WIDTH, bottom / height, 1 - (LEFT + RIGHT) / WIDTH, 1 - (top + bottom) / height))
    quiet(axes)
    return figure, axes


def quiet(axes: Axes) -> None:
    """Take away what says nothing: frame and ticks. Thin horizontal lines stay."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=SMALL, pad=5)


def inches_of(figure: Figure, axes: Axes) -> tuple[float, float]:
    """Width and height of the axes, in inches."""
    place = axes.get_position()
    return place.width * figure.get_figwidth(), place.height * figure.get_figheight()


def name_axes(figure: Figure, axes: Axes, *, x: str, y: str) -> None:
    """Name the axes; y above its numbers, where it reads without turning one's head."""
    width, height = inches_of(figure, axes)
    axes.set_xlabel(x, fontsize=SMALL, labelpad=6)
    place = (0.02 - LEFT) / width, 1 + 0.16 / height
    axes.text(*place, y, transform=axes.transAxes, color=MUTED, fontsize=SMALL, va="bottom")


def name_metric(metric: str, mode: str) -> str:
    """A metric with the direction in which it gets better."""
    return f"{shorten(metric, 60)} ({'higher' if mode == 'max' else 'lower'} is better)"


def limit_metric(axes: Axes, values: Numbers, mode: str, *, keep: Numbers | None = None) -> None:
    """Leave room for the good end; a few very bad trials may fall off the other, and a note says how many.

    None of the values in ``keep`` falls off.
    """
    low, high = np.percentile(values, [25, 75])
    reach = 4 * (high - low) or np.inf
    worst, best = (values.min(), values.max()) if mode == "max" else (values.max(), values.min())
    worst = max(worst, low - reach) if mode == "max" else min(worst, high + reach)
    if keep is not None:
        worst = min(worst, keep.min()) if mode == "max" else max(worst, keep.max())
    room = (best - worst) or abs(best) * 0.01 or 1.0
    ends = (worst - 0.05 * room, best + 0.14 * room)
    axes.set_ylim(min(ends), max(ends))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    if 1e-3 <= max(map(abs, ends)) < 1e7:
        axes.yaxis.set_major_formatter(plain_formatter())
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    outside = int(np.sum(values < min(ends)) + np.sum(values > max(ends)))
    if outside:
        where, at = ("below", 0.02) if mode == "max" else ("above", 0.94)
        text = f"{outside:,} {'trial lies' if outside == 1 else 'trials lie'} {where} the picture"
        axes.text(0.995, at, text, transform=axes.transAxes, ha="right", color=MUTED, fontsize=SMALL)


def plain_formatter() -> ScalarFormatter:
    """Numbers as they are, with as many decimals all along the axis."""
    plain = ScalarFormatter(useOffset=False)
    plain.set_scientific(False)
    return plain


def scale_cost(axes: Axes, costs: Numbers, limit: float | None) -> None:
    """Limit and number the horizontal axis; logarithmic where the costs span more than a factor of 30."""
    like: float | None = None
    ends = [costs.min(), costs.max(), *([limit] if limit is not None else [])]
    if min(ends) > 0 and max(ends) > 30 * min(ends):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(min(ends) / 1.2, max(ends) * 1.2)
    else:
        room = 0.04 * ((max(ends) - min(ends)) or abs(max(ends)) or 1.0)
        axes.set_xlim(min(ends) - room, max(ends) + room)
        axes.xaxis.set_major_locator(MaxNLocator(7))
        like = max(map(abs, ends))  # one prefix all along the axis
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_compact(value, like=like)))
    if limit is not None:
        axes.text(
            limit, 1.02, f"limit {format_compact(limit)}", transform=axes.get_xaxis_transform(),
            ha="center" if limit < max(ends) else "right", va="bottom", color=MUTED, fontsize=SMALL,
        )  # fmt: skip
