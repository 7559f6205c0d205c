"""The tables of the page: figures, best architecture, times, versions, failures. Each is ``None`` where it would be empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from raynas.explore import Objective
from raynas.explore.history import FAILED
from raynas.report.quantities import format_duration, format_number, is_number, shorten
from raynas.report.run_files import RunFiles
from raynas.report.template import Html, section, table, tag
from raynas.space import Architecture, Domain

_MAX_OTHERS, _MAX_CAUSES, _MAX_IDS = 8, 12, 6
_COUNTS = {
    "num_trials": ("Trials", "architectures that were evaluated"),
    "num_reused": ("Reused", "proposals answered from an earlier trial"),
    "num_failed": ("Failed", "trials that ended without a result"),
    "num_forbidden": ("Forbidden", "proposals that the constraint turned down"),
}
_TOLD_ELSEWHERE = ("name", "mode", "metric", "space_size", "best_architecture", "seconds", "versions", "seed")


def figures_section(run: RunFiles, best_value: float | None) -> Html:
    """All figures of the run, those that we have no words for included."""
    result, metric = run.result, run.metric
    rows: list[tuple[str, str, str]] = []
    if run.objective is not None:
        rows += _front_rows(run, run.objective)
    elif best_value is not None and metric is not None:
        rows.append((f"Best {metric}", format_number(best_value), "of all trials, while searching"))
    notes = {
        f"inherited_{metric}": (f"Inherited {metric}", "the best architecture, with the weights of the supernet"),
        f"test_{metric}": (f"Test {metric}", "the best architecture, trained again, on the test set"),
        f"random_test_{metric}_mean": (f"Random test {metric}", _spread(result.get(f"random_test_{metric}"))),
        "flops": ("FLOPs", "of the best architecture, for one input"),
        "max_flops": ("FLOPs limit", "what an architecture may cost at most"),
        "params": ("Parameters", "of the best architecture"),
        **_COUNTS,
    }
    rows += [(name, format_number(result[key]), note) for key, (name, note) in notes.items() if is_number(result.get(key))]
    rows.append(("Search space", format_number(run.space.size), f"architectures, from {len(run.space):,} keys"))
    if is_number(result.get("seed")):
        rows.append(("Seed", str(result["seed"]), "with which the search began"))
    known = {*notes, *_TOLD_ELSEWHERE, *(("front_size", "hypervolume") if run.objective is not None else ())}
    rows += [(key, format_number(value), "") for key, value in result.items() if key not in known and is_number(value)]
    return section("Figures", table(("Figure", "Value", "What it is"), rows, cls="figures"))


def hypervolume_note(run: RunFiles) -> str:
    """What the hypervolume of ``result.json`` is measured from."""
    reference = run.result.get("hypervolume_reference")
    if isinstance(reference, list) and run.objective is not None:
        reference = dict(zip(run.objective.metrics, reference, strict=False))
    parts = [f"{name} {format_number(value)}" for name, value in _mapping(reference).items() if is_number(value)]
    return f"of what the front dominates, measured from {', '.join(parts)}" if parts else "of what the front dominates"


def architecture_section(run: RunFiles, best: Architecture | None) -> Html | None:
    """Every key: what was chosen, which of how many it is, and what else there was."""
    if best is None:
        return None
    rows = [_choice_row(domain, best.indices.get(key)) for key, domain in run.space.items()]
    head = ("Key", "Chosen", "Index (from 0)", "Other candidates")
    return section("Best architecture", table(head, rows, cls="architecture"))


def stages_section(run: RunFiles) -> Html | None:
    """How long each stage took."""
    seconds = {str(stage): float(value) for stage, value in _mapping(run.result.get("seconds")).items() if is_number(value)}
    if not seconds:
        return None
    longest, total = max(seconds.values()), sum(seconds.values())
    rows = []
    for stage, value in seconds.items():
        width = 100 * value / longest if longest > 0 else 0.0
        rows.append((stage, format_duration(value), tag("span", cls="bar", attributes={"style": f"width: {width:.1f}%"})))
    if len(rows) > 1 and "total" not in seconds:
        rows.append(("all together", format_duration(total), Html("")))
    return section("Time", table(("Stage", "Time", ""), rows, cls="stages"))


def versions_section(run: RunFiles) -> Html | None:
    """What the run was made with."""
    versions = _mapping(run.result.get("versions"))
    if not versions:
        return None
    return section("Versions", table((), [(str(name), str(version)) for name, version in versions.items()], cls="versions"))


def failures_section(run: RunFiles) -> Html | None:
    """Failed trials by cause, the most frequent first; the first line of an error is its cause."""
    failed = run.trials.filter(pc.equal(run.trials.column("state"), FAILED))
    causes: dict[str, list[int]] = {}
    for number, error in zip(failed.column("id").to_pylist(), failed.column("error").to_pylist(), strict=True):
        lines = (error or "").strip().splitlines()
        causes.setdefault(lines[0] if lines else "no cause was recorded", []).append(number)
    if not causes:
        return None
    ordered = sorted(causes.items(), key=lambda item: -len(item[1]))
    rows = [(f"{len(ids):,}", shorten(cause, 300), _listed([str(number) for number in ids], _MAX_IDS))
            for cause, ids in ordered[:_MAX_CAUSES]]  # fmt: skip
    if len(ordered) > _MAX_CAUSES:
        rest = ordered[_MAX_CAUSES:]
        rows.append((f"{sum(len(ids) for _, ids in rest):,}", f"{len(rest):,} other causes", ""))
    return section("Failures", table(("Trials", "Cause", "Which"), rows, cls="failures"))


def _front_rows(run: RunFiles, objective: Objective) -> list[tuple[str, str, str]]:
    rows = []
    for name, mode in zip(objective.metrics, objective.modes, strict=True):
        values = [member.metrics[name] for member in run.front if name in member.metrics]
        if values:
            rows.append((f"Best {name}", format_number(max(values) if mode == "max" else min(values)), "of the front"))
    rows.append(("On the front", f"{len(run.front):,}", "architectures that no other dominates"))
    if is_number(run.result.get("hypervolume")):
        rows.append(("Hypervolume", format_number(run.result["hypervolume"]), hypervolume_note(run)))
    return rows


def _choice_row(domain: Domain, indices: tuple[int, ...] | None) -> tuple[str, str, str, str]:
    names, count = [str(candidate) for candidate in domain.candidates], len(domain.candidates)
    if indices is None:
        return domain.key, "", "not active", _listed(names, _MAX_OTHERS)
    others = [name for index, name in enumerate(names) if index not in indices]
    which = f"{', '.join(map(str, indices))} of {count}" if indices else f"none of {count}"
    return domain.key, ", ".join(names[index] for index in indices) or "none", which, _listed(others, _MAX_OTHERS)


def _listed(names: list[str], limit: int) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit:,} more" if len(names) > limit else "")


def _spread(values: Any) -> str:
    numbers = [value for value in values if is_number(value)] if isinstance(values, list) else []
    if not numbers:
        return "mean of random architectures, trained alike"
    ends = f", {format_number(min(numbers))} to {format_number(max(numbers))}" if len(numbers) > 1 else ""
    many = f"{len(numbers):,} random architectures" if len(numbers) > 1 else "one random architecture"
    return f"mean of {many}, trained alike{ends}"


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}
