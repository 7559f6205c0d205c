"""The Pareto front of a run with several objectives: read from ``best.json``, or found among the trials, and as a table.

The picture of it is in ``front_plot``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from raynas.errors import OptionError
from raynas.explore import Objective, pareto_front
from raynas.report.axes import Numbers
from raynas.report.plots import completed_values
from raynas.report.quantities import format_number, is_number, shorten
from raynas.report.template import Html, section, table, tag
from raynas.space import Architecture, SearchSpace

_MAX_ROWS, _MAX_TEXT = 50, 100


@dataclass(frozen=True, slots=True)
class FrontMember:
    """One of the front.

    Attributes:
        trial_id: the trial that evaluated it.
        architecture: what was evaluated.
        metrics: what it reported, in the user's sign.
    """

    trial_id: int
    architecture: Architecture
    metrics: Mapping[str, float]


def read_front(entries: Sequence[Any], space: SearchSpace) -> tuple[FrontMember, ...]:
    """Read the front of ``best.json``.

    Args:
        entries: ``{"architecture": ..., "metrics": ..., "trial_id": ...}`` each.
        space: what the architectures are of.

    Raises:
        ValueError: an entry is something else, or its architecture is none of the space.
    """
    return tuple(_read_member(number, entry, space) for number, entry in enumerate(entries))


def find_front(trials: pa.Table, objective: Objective, space: SearchSpace) -> tuple[FrontMember, ...]:
    """The front of the completed trials, by id; empty if none has completed.

    Raises:
        ArchitectureError: a trial of the front does not fit the space.
    """
    try:
        ids, *columns = completed_values(trials, objective.metrics[0], objective.modes[0], *objective.metrics[1:])
    except OptionError:
        return ()
    rows = {number: row for row, number in enumerate(trials.column("id").to_pylist())}
    texts = trials.column("architecture")
    members = []
    for at in front_indices(columns, objective):
        number = int(ids[at])
        architecture = Architecture.from_json(space, texts[rows[number]].as_py())
        metrics = {name: float(column[at]) for name, column in zip(objective.metrics, columns, strict=True)}
        members.append(FrontMember(number, architecture, metrics))
    return tuple(members)


def front_indices(columns: Sequence[Numbers], objective: Objective) -> list[int]:
    """Which trials are on the front, ascending.

    Args:
        columns: for each metric of the objective its values, in the user's sign.
        objective: which metrics count, and in which direction.
    """
    signed = ((column if mode == "max" else -column).tolist() for column, mode in zip(columns, objective.modes, strict=True))
    return pareto_front(list(zip(*signed, strict=True)))


def front_section(front: Sequence[FrontMember], objective: Objective) -> Html | None:
    """A row for each of the front, the best in the first metric first; ``None`` if there is none."""
    if not front:
        return None
    first, sign = objective.metrics[0], -1 if objective.modes[0] == "max" else 1
    ordered = sorted(front, key=lambda member: (sign * member.metrics.get(first, 0.0), member.trial_id))
    rows = [
        (f"{member.trial_id:,}", *(_number(member.metrics.get(name)) for name in objective.metrics), _text(member.architecture))
        for member in ordered[:_MAX_ROWS]
    ]
    names = [f"{name} ({'higher' if mode == 'max' else 'lower'} is better)"
             for name, mode in zip(objective.metrics, objective.modes, strict=True)]  # fmt: skip
    shown = [table(("Trial", *names, "Architecture"), rows, cls="front")]
    if len(front) > _MAX_ROWS:
        shown.insert(0, tag("p", f"The {_MAX_ROWS} best in {first}, of {len(front):,}.", cls="absent"))
    return section("Pareto front", *shown)


def _read_member(number: int, entry: Any, space: SearchSpace) -> FrontMember:
    fields = [entry.get(name) for name in ("trial_id", "architecture", "metrics")] if isinstance(entry, dict) else []
    if len(fields) != 3 or type(fields[0]) is not int or not isinstance(fields[1], dict) or not isinstance(fields[2], dict):
        raise ValueError(f"entry {number} of the front is {str(entry)[:80]}; expected architecture, metrics and trial_id")
    metrics = {name: float(value) for name, value in fields[2].items() if is_number(value)}
    return FrontMember(fields[0], space.validate(fields[1]), metrics)


def _number(value: float | None) -> str:
    return "" if value is None else format_number(value)


def _text(architecture: Architecture) -> str:
    picked = {key: choice.value for key, choice in architecture.items()}
    texts = {key: " + ".join(map(str, value)) or "none" if isinstance(value, tuple) else value for key, value in picked.items()}
    text = ", ".join(f"{key}: {value}" for key, value in texts.items())
    return text if len(text) <= _MAX_TEXT else tag("details", tag("summary", shorten(text, _MAX_TEXT)), text)
