"""Two pictures of a supernet's training: figures over its steps, and what a method has come to prefer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from raynas.errors import OptionError
from raynas.report.axes import LEFT, quiet
from raynas.report.probabilities import probability_strips
from raynas.report.quantities import format_compact, format_number, shorten
from raynas.report.strip_plot import StripWords, draw_strips
from raynas.report.theme import BEST, LINE, MUTED, SMALL, SURFACE, WIDTH, drawing
from raynas.report.training_figures import PROBABILITY, TrainingFigures
from raynas.space import Architecture, SearchSpace

MAX_PANELS = 8
VALID = "valid_"
_NAMES = {  # what is drawn together: title, and for each line its figure and what it is called
    "Loss": {"loss": "training", f"{VALID}loss": "validation"},
    "Entropy of the probabilities, in nats": {"entropy": ""},
    "Entropy of the controller, in nats": {"controller/entropy": ""},
    "Reward of the controller": {"controller/reward": "reward", "controller/baseline": "its moving average"},
    "Expected cost": {"expected_cost": ""},
    "Loss that others are compared with": {"baseline": ""},
}
_TOLD_ELSEWHERE = ("learning_rate", "temperature")  # they follow from the options
_PANEL, _TOP, _BOTTOM, _RIGHT = 1.15, 0.34, 0.5, 0.72  # inches
_COLOURS = (LINE, BEST)  # of the lines of one panel


@dataclass(frozen=True, slots=True)
class Panel:
    """What shares one pair of axes.

    Attributes:
        title: what it is.
        lines: for each line the name of its figure, and what it is called; "" where it is the only one.
    """

    title: str
    lines: tuple[tuple[str, str], ...]


def panels_of(figures: TrainingFigures) -> list[Panel]:
    """What there is to draw: the loss, validation, what a method says about its search, then what else was logged."""
    names = [name for name in figures.names if not name.startswith(PROBABILITY) and name not in _TOLD_ELSEWHERE]
    known = {title: tuple((name, word) for name, word in lines.items() if name in names) for title, lines in _NAMES.items()}
    panels = [Panel(title, lines) for title, lines in known.items() if lines]
    told = {name for panel in panels for name, _ in panel.lines}
    metrics = [name for name in names if name.startswith(VALID) and name not in told]
    others = [name for name in names if name not in told and name not in metrics]
    shown = [Panel(f"{shorten(name[len(VALID) :], 60)} on the validation data", ((name, ""),)) for name in metrics]
    at = 1 if panels and panels[0].title == "Loss" else 0
    return [*panels[:at], *shown, *panels[at:], *(Panel(shorten(name, 60), ((name, ""),)) for name in others)][:MAX_PANELS]


@drawing()
def plot_training(figures: TrainingFigures) -> Figure:
    """Draw figures over the steps of a training, one below the other.

    Raises:
        OptionError: there is none to draw.
    """
    panels = panels_of(figures)
    if not panels:
        raise OptionError("the training has logged no figures to draw")
    height = len(panels) * (_TOP + _PANEL) + _BOTTOM
    figure = Figure(figsize=(WIDTH, height))
    ends = 0.0, float(max(figures.rows))
    for number, panel in enumerate(panels):
        bottom = height - (number + 1) * (_TOP + _PANEL)
        place = LEFT / WIDTH, bottom / height, 1 - (LEFT + _RIGHT) / WIDTH, _PANEL / height
        _draw_panel(figure.add_axes(place), panel, figures, ends=ends, is_last=number == len(panels) - 1)
    return figure


@drawing()
def plot_probabilities(
    space: SearchSpace, figures: TrainingFigures, *, learnt: Architecture | None = None, max_keys: int | None = 30
) -> Figure:
    """Draw for each key how likely each candidate was as training went on: a row each, the darker the likelier.

    Args:
        space: the search space.
        figures: of the training.
        learnt: the architecture whose choices are printed in bold.
        max_keys: how many keys at most, the first ones.

    Raises:
        OptionError: the training has logged no probabilities.
    """
    strips = probability_strips(space, figures, learnt=learnt, max_keys=max_keys)
    if not strips:
        raise OptionError("the training has logged no probabilities to draw")
    steps = [step for step, row in figures.rows.items() if any(name.startswith(PROBABILITY) for name in row)]
    ends = f"step {steps[0]:,}", f"step {steps[-1]:,}"
    return draw_strips(strips, StripWords("probability", "probability at the end", ends))


def _draw_panel(axes: Axes, panel: Panel, figures: TrainingFigures, *, ends: tuple[float, float], is_last: bool) -> None:
    quiet(axes)
    drawn = [figures.series(name) for name, _ in panel.lines]
    everything = np.concatenate([values for _, values in drawn])
    low, high = float(everything.min()), float(everything.max())
    most, room = max(abs(low), abs(high)), (high - low) or abs(high) * 0.1 or 1.0
    for (steps, values), colour in zip(drawn, _COLOURS, strict=False):
        marker = "o" if len(steps) < 30 else ""
        axes.plot(steps, values, color=colour, linewidth=1.4, marker=marker, markersize=3, markeredgewidth=0)
        axes.plot(steps[-1], values[-1], "o", markersize=5, color=colour, markeredgecolor=SURFACE, markeredgewidth=1)
    axes.set_ylim(low - 0.08 * room, high + 0.08 * room)
    axes.set_xlim(ends[0], ends[1] + 0.005 * (ends[1] - ends[0] or 1.0))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(value, most)))
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(labelbottom=is_last)
    if is_last:
        axes.set_xlabel("step", fontsize=SMALL, labelpad=6)
    _name_lines(axes, panel)
    _number_ends(axes, [float(values[-1]) for _, values in drawn], most)


def _name_lines(axes: Axes, panel: Panel) -> None:
    """The title at the left above the axes, which line is which at the right."""
    width, y = WIDTH - LEFT - _RIGHT, 1 + 0.08 / _PANEL
    axes.text((0.02 - LEFT) / width, y, panel.title, transform=axes.transAxes, color=MUTED, fontsize=SMALL, va="bottom")
    right = 1.0
    for (_, word), colour in reversed(list(zip(panel.lines, _COLOURS, strict=False))):
        axes.text(right, y, word, transform=axes.transAxes, color=colour, fontsize=SMALL, va="bottom", ha="right")
        right -= (0.062 * len(word) + 0.15) / width


def _number_ends(axes: Axes, last: list[float], most: float) -> None:
    """The last value of each line beside its end; of two the larger above the smaller."""
    order = sorted(range(len(last)), key=last.__getitem__)
    for place, number in enumerate(order):
        align = "center" if len(last) == 1 else ("top", "bottom")[place]
        axes.annotate(
            _number(last[number], most), (1, last[number]), xycoords=("axes fraction", "data"), xytext=(6, 0),
            textcoords="offset points", va=align, color=_COLOURS[number], fontsize=SMALL, weight="bold", annotation_clip=False,
        )  # fmt: skip


def _number(value: float, most: float) -> str:
    """Thousands with a prefix, the same all along an axis whose largest number is ``most``."""
    return format_compact(value, like=most) if most >= 1_000 else format_number(round(float(value), 12))
