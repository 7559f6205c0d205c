"""Strips: a row for each candidate of a key over time, the darker the more there is of it. What they count is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from raynas.report import theme
from raynas.report.axes import Numbers
from raynas.report.choices import Strip
from raynas.report.quantities import shorten
from raynas.report.theme import BEST, INK, MUTED, NORMAL, SMALL, SURFACE, WIDTH

# Inches.
_HEADER, _TITLE, _ROW, _GAP, _LATE, _BETWEEN = 0.36, 0.26, 0.17, 0.2, 0.5, 0.3


@dataclass(frozen=True, slots=True)
class StripWords:
    """What is written around strips.

    Attributes:
        share: what the shade is.
        late: what the numbers at the right are.
        ends: of the horizontal axis.
    """

    share: str
    late: str
    ends: tuple[str, str]


def draw_strips(strips: Sequence[Strip], words: StripWords) -> Figure:
    """A figure of strips, in two columns where names are short; to be called with the style of ``theme.drawing``.

    Args:
        strips: at least one.
        words: what is written around them.
    """
    longest = min(max(len(name) for strip in strips for name in strip.names), 30)
    columns = 2 if longest <= 18 and len(strips) > 1 else 1
    rows = [strips[start : start + columns] for start in range(0, len(strips), columns)]
    heights = [_TITLE + _ROW * max(len(strip.names) for strip in row) + _GAP for row in rows]
    figure = Figure(figsize=(WIDTH, _HEADER + sum(heights) + _GAP))
    _draw_levels(figure, words)
    labels = 0.14 + 0.068 * longest
    width = (WIDTH - _BETWEEN * (columns - 1)) / columns - labels - _LATE
    top = figure.get_figheight() - _HEADER
    for number, (row, height) in enumerate(zip(rows, heights, strict=True)):
        for column, strip in enumerate(row):
            left = column * (WIDTH + _BETWEEN) / columns + labels
            axes = _draw_strip(figure, strip, (left, top - _TITLE, width, _ROW * len(strip.names)))
            if number * columns + column + columns >= len(strips):  # the last of its column
                _name_ends(axes, words.ends)
        top -= height
    return figure


def _shade(shares: Numbers) -> Numbers:
    """Shares as red, green, blue and opacity; a flat grey where nothing is known."""
    cells = np.empty((*shares.shape, 4))
    cells[..., :3], cells[..., 3] = theme.LEVEL, 0.06 + 0.94 * np.clip(np.nan_to_num(shares), 0, 1) ** 0.85
    cells[np.isnan(shares)] = (0.55, 0.55, 0.55, 0.22)
    return cells


def _draw_levels(figure: Figure, words: StripWords) -> None:
    """The key to the shades, at the top."""
    height = figure.get_figheight()
    y = (height - 0.14) / height
    axes = figure.add_axes((1.4 / WIDTH, y - 0.05 / height, 1.0 / WIDTH, 0.1 / height))
    axes.imshow(_shade(np.linspace(0, 1, 21)[None, :]), aspect="auto", interpolation="none")
    axes.set_axis_off()
    for x, text, align in ((1.34, f"{words.share}  0 %", "right"), (2.46, "100 %", "left")):
        figure.text(x / WIDTH, y, text, ha=align, va="center", color=MUTED, fontsize=SMALL)
    figure.text(0.995, y, f"numbers: {words.late}", ha="right", va="center", color=MUTED, fontsize=SMALL)


def _draw_strip(figure: Figure, strip: Strip, place: tuple[float, float, float, float]) -> Axes:
    """Draw one key; ``place``: left, top, width and height of its rows, in inches from the bottom left."""
    left, top, width, height = place
    total = figure.get_figheight()
    axes = figure.add_axes((left / WIDTH, (top - height) / total, width / WIDTH, height / total))
    num_rows, num_bins = strip.shares.shape
    image = axes.imshow(_shade(strip.shares), aspect="auto", interpolation="none", extent=(0, num_bins, num_rows, 0))
    image.set_gid(f"strip_{len(figure.axes)}")  # else two strips that look alike have one id
    axes.hlines(np.arange(1, num_rows), 0, num_bins, color=SURFACE, linewidth=1.4)
    axes.set_axis_off()
    inches = 1 / width, 1 / height
    title = shorten(strip.key, 40)
    axes.text(0, 1 + 0.06 * inches[1], title, transform=axes.transAxes, weight="bold", color=INK, fontsize=NORMAL)
    for row, name in enumerate(strip.names):
        best = row in strip.best
        late = "" if np.isnan(strip.late[row]) else f"{strip.late[row]:.0%}".replace("%", " %")
        for x, text, align in ((-0.06 * inches[0], shorten(name, 30), "right"), (1 + 0.06 * inches[0], late, "left")):
            axes.text(
                x, 1 - (row + 0.5) / num_rows, text, transform=axes.transAxes, ha=align, va="center", fontsize=SMALL,
                color=BEST if best else MUTED, weight="bold" if best else "normal",
            )  # fmt: skip
    return axes


def _name_ends(axes: Axes, ends: tuple[str, str]) -> None:
    for x, text, align in ((0, ends[0], "left"), (1, ends[1], "right")):
        axes.annotate(
            text, (x, 0), xycoords="axes fraction", xytext=(0, -4), textcoords="offset points",
            ha=align, va="top", color=MUTED, fontsize=SMALL,
        )  # fmt: skip
