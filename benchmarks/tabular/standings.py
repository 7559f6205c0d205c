"""What came out of many searches on a table: figures, the targets that they are held to, and a picture."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.tabular.table import Cell, Contender, Run, Table

NUMBERS = (50, 100, 200, 500)  # of evaluations
REFERENCE = Contender("regularized_evolution", {"population_size": 10, "sample_size": 5}, repeat=True)
REFERENCE_MEANS = dict(zip(NUMBERS, (92.80, 92.92, 93.01, 93.04), strict=True))  # 500 seeds
REFERENCE_ERROR = 0.015 / 2  # the standard error of these means
BEST_MEANS = {100: 93.00, 200: 93.04}
AT_ONCE, AT_ONCE_NUMBER, AT_ONCE_LOSS = 8, 200, 0.05
MAY_FALL_BELOW_RANDOM = "grid"
FIRST_DRAWN = 10  # the first evaluations would take up most of the picture
COLOURS = (
    "#0067a8",
    "#c8500a",
    "#2f8f5b",
    "#8e4ca8",
    "#b8860b",
    "#c2185b",
    "#00838f",
    "#5d6d2e",
    "#7a4a32",
    "#3f51b5",
    "#d4705f",
)


@dataclass(frozen=True)
class Figures:
    """Of several seeds after so many evaluations.

    Attributes:
        mean: of the value reported of the best architecture so far.
        error: the standard error of the mean, NaN for a single seed.
        median: of the same values.
        share: of the seeds that have found the optimum of what was searched.
    """

    mean: float
    error: float
    median: float
    share: float


@dataclass(frozen=True)
class Standing:
    """A contender with its runs."""

    contender: Contender
    runs: Sequence[Run]

    def after(self, table: Table, number: int) -> Figures:
        """The figures after so many evaluations. A search without any result has the worst value of the table."""
        found: list[Cell | None] = [run.best_after(number) for run in self.runs]
        values = [cell[1] if cell else table.worst for cell in found]
        error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        share = sum(cell is not None and cell[0] == table.optimum[0] for cell in found) / len(found)
        return Figures(statistics.fmean(values), error, statistics.median(values), share)


def figures(table: Table, standings: Iterable[Standing], numbers: Sequence[int]) -> dict[str, Any]:
    """All figures as JSON, by the contender's label."""
    described = {}
    for standing in standings:
        each = [standing.after(table, number) for number in numbers]
        digits = table.decimals + 1
        described[standing.contender.label] = {
            "seeds": len(standing.runs),
            "mean": [round(one.mean, digits) for one in each],
            "standard_error": [None if math.isnan(one.error) else round(one.error, digits) for one in each],
            "median": [round(one.median, digits) for one in each],
            "share_optimum": [round(one.share, 4) for one in each],
            "evaluations": round(statistics.fmean(run.carried_out for run in standing.runs), 1),
            "failed": sum(run.failed for run in standing.runs),
            "seconds_per_run": round(statistics.fmean(run.seconds for run in standing.runs), 3),
        }
    return described


def markdown(table: Table, standings: Iterable[Standing], numbers: Sequence[int]) -> str:
    """The figures as a table: mean ± standard error, median, share of the seeds that found the optimum."""
    digits = table.decimals
    rows = [["searcher", "seeds", *(f"after {number}" for number in numbers)]]
    for standing in standings:
        cells = []
        for number in numbers:
            one = standing.after(table, number)
            error = "" if math.isnan(one.error) else f" ± {one.error:.{digits}f}"
            cells.append(f"{one.mean:.{digits}f}{error}, {one.median:.{digits}f}, {one.share:.0%}".replace("%", " %"))
        rows.append([standing.contender.label, str(len(standing.runs)), *cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    lines = (" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"| {line} |\n" for line in lines)


@dataclass(frozen=True)
class Check:
    """One target: what it says, what was found, and whether that is enough."""

    name: str
    passed: bool
    found: str

    def __str__(self) -> str:
        return f"{'pass' if self.passed else 'MISS'}  {self.name}: {self.found}"


def check_random(table: Table, standings: Mapping[str, Standing], numbers: Sequence[int]) -> list[Check]:
    """No searcher but grid falls below random: by more than two standard errors of the difference."""
    if "random" not in standings:
        return [Check("random", False, "there are no runs of it")]
    random = standings["random"]
    sign = 1 if table.columns.mode == "max" else -1
    checks = []
    for label, standing in standings.items():
        if standing.contender.searcher in ("random", MAY_FALL_BELOW_RANDOM) or standing.contender.at_once > 1:
            continue
        closest, text = math.inf, ""
        for number in numbers:
            mine, theirs = standing.after(table, number), random.after(table, number)
            ahead = sign * (mine.mean - theirs.mean)
            within = 2 * math.hypot(mine.error, theirs.error)
            if ahead + within < closest:
                closest = ahead + within
                text = f"{ahead:+.{table.decimals}f} after {number}; wanted at least {-within:.{table.decimals}f}"
        checks.append(Check(f"{label} against random", closest >= 0, text))
    return checks


def check_targets(table: Table, standings: Mapping[str, Standing]) -> list[Check]:
    """What NAS-Bench-Macro is held to: the reference row, the best searcher, and little lost with several at once."""
    if REFERENCE.label not in standings:
        return [Check(REFERENCE.label, False, "there are no runs of it")]
    checks = []
    for number, wanted in REFERENCE_MEANS.items():
        mine = standings[REFERENCE.label].after(table, number)
        within = 2 * math.hypot(mine.error, REFERENCE_ERROR)
        text = f"{mine.mean:.3f}; wanted {wanted:.2f} ± {within:.3f}"
        checks.append(Check(f"{REFERENCE.label}, after {number}", abs(mine.mean - wanted) <= within, text))
    alone = {label: standing for label, standing in standings.items() if standing.contender.at_once == 1}
    for number, least in BEST_MEANS.items():
        means = {label: standing.after(table, number).mean for label, standing in alone.items()}
        best = max(means, key=means.__getitem__)
        text = f"{means[best]:.3f} ({best}); wanted at least {least:.2f}"
        checks.append(Check(f"the best after {number}", means[best] >= least, text))
    for label, standing in alone.items():
        several = standings.get(replace(standing.contender, at_once=AT_ONCE).label)
        if several is not None:
            pair = (one.after(table, AT_ONCE_NUMBER).mean for one in (standing, several))
            lost = next(pair) - next(pair)
            text = f"{lost:+.3f} after {AT_ONCE_NUMBER}; wanted at most {AT_ONCE_LOSS}"
            checks.append(Check(f"{label}, lost with {AT_ONCE} at once", lost <= AT_ONCE_LOSS, text))
    return checks


def draw(table: Table, standings: Iterable[Standing], number: int, path: Path) -> None:
    """Draw how the mean grows up to so many evaluations, with its standard error, the best searcher first in the list."""
    # Here, since processes that run searches import this file and draw nothing.
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    from raynas.report.axes import name_axes, new_axes
    from raynas.report.plots import save_png
    from raynas.report.quantities import shorten
    from raynas.report.theme import INK, MUTED, SMALL, drawing

    sign = 1 if table.columns.mode == "max" else -1
    ranked = sorted(standings, key=lambda standing: -sign * standing.after(table, number).mean)
    first = min(FIRST_DRAWN, max(number // 2, 1))
    at = sorted({round(first * (number / first) ** (step / 100)) for step in range(101)})
    with drawing():
        figure, axes = new_axes(4.2, top=0.36, bottom=0.52)
        place = axes.get_position()
        axes.set_position((place.x0, place.y0, 0.6, place.height))  # the names need the rest
        colours = cycle(COLOURS)
        for standing in ranked:
            label = standing.contender.label
            colour = MUTED if label == "random" else next(colours)
            each = [standing.after(table, one) for one in at]
            axes.plot(
                at, [one.mean for one in each], color=colour, linewidth=1.6, label=_wrapped(label),
                linestyle=(0, (4, 2)) if label == "random" else "-",
            )  # fmt: skip
            if len(standing.runs) > 1:
                low, high = ([one.mean + side * one.error for one in each] for side in (-1, 1))
                axes.fill_between(at, low, high, color=colour, alpha=0.16, linewidth=0)
        axes.axhline(table.optimum[1], color=INK, linewidth=0.8, linestyle=(0, (1, 2)), label="the optimum of what is searched")
        axes.set_xscale("log")
        axes.set_xlim(first, number)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.02), frameon=False, fontsize=SMALL, handlelength=1.6)
        reported = " and ".join(table.columns.report)
        name_axes(figure, axes, x="evaluations", y=shorten(f"{reported} of the best so far, mean over seeds", 80))
        path.parent.mkdir(parents=True, exist_ok=True)
        save_png(figure, path)


def _wrapped(label: str) -> str:
    """A label in lines that fit beside the picture, the searcher's name on the first."""
    name, *rest = label.replace("(", ", ", 1).replace(")", "", 1).split(", ")
    return "\n".join([name, *textwrap.wrap(", ".join(rest), 30)])
