"""``write_report``: a run folder as one HTML page, which needs nothing but itself. Its tables are in ``tables``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from raynas.errors import ArchitectureError, OptionError, RunDamagedError
from raynas.explore.history import COMPLETED, REUSED
from raynas.report import tables
from raynas.report.axes import COST_NAMES
from raynas.report.front import front_section
from raynas.report.front_plot import plot_front
from raynas.report.plots import MAX_KEYS, completed_values, plot_best_so_far, plot_choices, plot_tradeoff, to_svg
from raynas.report.quantities import format_compact, format_number, format_share, is_number
from raynas.report.run_files import COSTS, RunFiles, read_run
from raynas.report.template import Html, document, join, picture, section, tag
from raynas.report.theme import embed
from raynas.report.training_section import training_section
from raynas.space import Architecture


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into a run folder: pictures and figures of its search, on one page that works offline.

    Args:
        folder: the run folder, with ``search_space.json`` and ``trials.parquet``. From ``best.json``, ``result.json`` and
            ``supernet.jsonl`` the page shows what there is.

    Returns:
        The path of the page. It is written beside and renamed, so that a reader never sees half of it.

    Raises:
        RunNotFoundError: one of the first two files is missing.
        RunDamagedError: a file cannot be read, or does not fit the others.

    Example:
        >>> from pathlib import Path
        >>> write_report(Path("runs/digits-001"))  # doctest: +SKIP
        PosixPath('runs/digits-001/report.html')
    """
    folder = Path(folder)
    run = read_run(folder)
    path = folder / "report.html"
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(_page(run, folder.resolve().name), encoding="utf-8", errors="replace")
    beside.replace(path)
    return path


def _page(run: RunFiles, folder_name: str) -> str:
    best_id, best_value = _best_trial(run)
    try:
        best = run.best or (_architecture_of(run, best_id) if run.objective is None else None)
        pictures = [_front_picture(run), _progress_section(run), _tradeoff_section(run), _choices_section(run, best)]
    except ArchitectureError as cause:
        raise RunDamagedError(f"trials.parquet of {folder_name} does not fit its search_space.json: {cause}") from cause
    name = str(run.result.get("name") or folder_name)
    parts = [
        *_headline(run, name, best_value),
        _key_figures(run, best_id, best_value),
        *pictures,
        front_section(run.front, run.objective) if run.objective is not None else None,
        tables.figures_section(run, best_value),
        tables.architecture_section(run, best),
        training_section(run),
        tables.stages_section(run),
        tables.versions_section(run),
        tables.failures_section(run),
        _footer(run),
    ]
    return document(f"{name}: architecture search", *(part for part in parts if part is not None))


def _best_trial(run: RunFiles) -> tuple[int | None, float | None]:
    try:
        ids, values = completed_values(run.trials, run.metric or "", run.mode)
    except OptionError:
        return None, None
    at = int(np.argmax(values) if run.mode == "max" else np.argmin(values))
    return int(ids[at]), float(values[at])


def _row_of(run: RunFiles, trial_id: int) -> int:
    ids: list[int] = run.trials.column("id").to_pylist()
    return ids.index(trial_id)


def _architecture_of(run: RunFiles, trial_id: int | None) -> Architecture | None:
    if trial_id is None:
        return None
    return Architecture.from_json(run.space, run.trials.column("architecture")[_row_of(run, trial_id)].as_py())


def _num_tried(run: RunFiles) -> int:
    """How many different architectures have a result."""
    pairs = zip(run.trials.column("state").to_pylist(), run.trials.column("digest").to_pylist(), strict=True)
    return len({digest for state, digest in pairs if state in (COMPLETED, REUSED)})


# --- the top of the page -----------------------------------------------------------------------------------------------


def _headline(run: RunFiles, name: str, best_value: float | None) -> list[Html]:
    tried, size = _num_tried(run), run.space.size
    found: tuple[str, ...] = ("No trial has completed yet",)
    architectures = tag("strong", f"{tried:,} architecture{'s' if tried != 1 else ''}")
    if run.objective is not None and run.front:
        size_of_front = tag("strong", f"{len(run.front):,} {'are' if len(run.front) != 1 else 'is'} on the Pareto front")
        found = ("Of ", architectures, ", ", size_of_front, f" of {_listed(run.objective.metrics)}")
    elif best_value is not None and run.metric is not None:
        found = ("The best of ", architectures, " reaches ", tag("strong", f"{run.metric} {format_number(best_value)}"))
    keys = f"{len(run.space):,} key{'s' if len(run.space) != 1 else ''}"
    lead = tag("p", *found, f", in a search space of {format_number(size)} that varies {keys}.", cls="lead")
    return [tag("header", tag("p", "Architecture search", cls="kind"), tag("h1", name), lead)]


def _key_figures(run: RunFiles, best_id: int | None, best_value: float | None) -> Html:
    if run.objective is not None:
        figures = [_metric_figure(run, None), *_front_figures(run)]
    else:
        figures = [_metric_figure(run, best_value), _cost_figure(run, best_id)]
    tried, size = _num_tried(run), run.space.size
    share = f", {format_share(tried / size)}" if 10_000 * tried >= size else ""
    figures.append(("architectures tried", f"{tried:,}", f"of {format_number(size)} in the search space{share}"))
    cells = (
        tag("div", tag("dt", name), tag("dd", value, cls="value"), tag("dd", note, cls="note"))
        for name, value, note in (figure for figure in figures if figure is not None)
    )
    return tag("dl", *cells, cls="keys")


def _metric_figure(run: RunFiles, best_value: float | None) -> tuple[str, str, str] | None:
    test, random = run.result.get(f"test_{run.metric}"), run.result.get(f"random_test_{run.metric}_mean")
    if is_number(test) and test is not None:
        note = "the best architecture, trained again"
        if is_number(random) and random is not None:
            apart = f"{abs(test - random):.2g} {'above' if test > random else 'below'}" if test != random else "exactly"
            note = f"{apart} the mean of random architectures, {format_number(random)}"
        return f"{run.metric} on the test set, retrained", format_number(test), note
    if best_value is None:
        return None
    return f"best {run.metric} of the search", format_number(best_value), "on the data that the search is judged by"


def _front_figures(run: RunFiles) -> list[tuple[str, str, str]]:
    if run.objective is None or not run.front:
        return []
    note = f"no other is as good in {_listed(run.objective.metrics)} and better in one of them"
    figures = [("architectures on the front", f"{len(run.front):,}", note)]
    volume = run.result.get("hypervolume")
    if is_number(volume) and volume is not None:
        figures.append(("hypervolume of the front", format_number(volume), tables.hypervolume_note(run)))
    return figures


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _cost_figure(run: RunFiles, best_id: int | None) -> tuple[str, str, str] | None:
    costs = {name: run.result.get(name) for name in COSTS}
    for name in COSTS:
        if not is_number(costs[name]) and best_id is not None and name in run.trials.column_names:
            costs[name] = run.trials.column(name)[_row_of(run, best_id)].as_py()
    known = {name: format_compact(value) for name, value in costs.items() if is_number(value) and value is not None}
    if not known:
        return None
    name = next(iter(known))
    limit = run.result.get("max_flops")
    notes = [f"limit {format_compact(limit)}"] if name == "flops" and is_number(limit) and limit is not None else []
    notes += [f"{known['params']} parameters"] if name == "flops" and "params" in known else []
    return f"{COST_NAMES[name]} of the best", known[name], ", ".join(notes)


def _footer(run: RunFiles) -> Html:
    absent = f" Not there when it was written: {', '.join(run.missing)}." if run.missing else ""
    files = ["search_space.json", "trials.parquet", "best.json", "result.json"]
    files += ["supernet.jsonl"] if run.training is not None else []
    present = join([", ".join(name for name in files if name not in run.missing)])
    return tag("footer", "This page was made by raynas from ", tag("code", present), ", which lie beside it.", absent)


# --- the pictures ------------------------------------------------------------------------------------------------------


def _draw(title: str, caption: str, plot: Callable[[], Figure], *, prefix: str) -> Html:
    try:
        svg = Html(embed(to_svg(plot()), prefix))
    except OptionError as cause:
        return section(title, tag("p", f"Nothing to draw: {cause}.", cls="absent"))
    return section(title, picture(svg, title, caption))


def _progress_section(run: RunFiles) -> Html:
    metric = run.metric or "metric"
    still = "rising" if run.mode == "max" else "falling"
    caption = (
        f"Each dot is a completed trial, the line the best {metric} so far: "
        f"where the line has long stopped {still} while the dots stay close to it, more of the same will hardly find better."
    )
    return _draw("Progress", caption, lambda: plot_best_so_far(run.trials, metric, run.mode), prefix="progress")


def _front_picture(run: RunFiles) -> Html | None:
    if run.objective is None:
        return None
    metrics, modes = run.objective.metrics, run.objective.modes
    caption = (
        f"Each dot is a completed trial; the large ones are the front: no other trial is as good in {_listed(metrics)} "
        f"and better in one of them. The line is the best {metrics[0]} to be had at "
        f"{'no more' if modes[1] == 'min' else 'no less'} {metrics[1]} than there"
    )
    if len(metrics) > 2:
        caption += f", whatever the {metrics[2]}, which is the shade of the dots"
    if len(metrics) > 3:
        caption += f"; the front also counts {_listed(metrics[3:])}"
    title = f"{_capital(metrics[0])} against {COST_NAMES.get(metrics[1], metrics[1])}"
    return _draw(
        title,
        f"{caption}: look for where it bends, beyond which a little more of one costs much of the other.",
        lambda: plot_front(run.trials, metrics, modes),
        prefix="front",
    )


def _tradeoff_section(run: RunFiles) -> Html | None:
    metric = run.metric or "metric"
    cost = next((name for name in COSTS if _has_values(run.trials, name)), None)
    if run.objective is not None and (cost is None or cost in run.objective.metrics):
        return None  # the picture of the front says it
    title = f"{_capital(metric)} against {COST_NAMES[cost or 'flops']}"
    if cost is None and _has_values(run.trials, metric):
        text = "Nothing to draw: the trials report neither flops nor params."
        return section(title, tag("p", text, cls="absent"))
    limit = run.result.get("max_flops")
    bound = float(limit) if cost == "flops" and is_number(limit) and limit is not None else None
    caption = (
        f"Each dot is a completed trial, the stronger the later, and the thin line is the best {metric} to be had at "
        f"no more than that cost: look for where the line flattens, and for a cheaper architecture that is nearly as good."
    )
    name = cost or "flops"
    return _draw(title, caption, lambda: plot_tradeoff(run.trials, metric, run.mode, cost=name, limit=bound), prefix="tradeoff")


def _capital(metric: str) -> str:
    return metric.capitalize() if metric.isalpha() and metric.islower() else metric


def _choices_section(run: RunFiles, best: Architecture | None) -> Html:
    caption = (
        f"Each row is a candidate over time, stronger where more trials chose it"
        f"{'' if best is None else ' and in bold if the best architecture has it'}"
        f"{'; grey is where its key was not active' if any(domain.when for domain in run.space.values()) else ''}: "
        "look for rows that fill up, which is what the searcher settled on, and for keys that stay mixed, which are still open."
    )
    if len(run.space) > MAX_KEYS:
        caption = f"The first {MAX_KEYS} of {len(run.space):,} keys. {caption}"
    return _draw("Choices over time", caption, lambda: plot_choices(run.space, run.trials, best=best), prefix="choices")


def _has_values(trials: pa.Table, name: str) -> bool:
    if name not in trials.column_names:
        return False
    pairs = zip(trials.column("state").to_pylist(), trials.column(name).to_pylist(), strict=True)
    return any(state == COMPLETED and value is not None for state, value in pairs)
