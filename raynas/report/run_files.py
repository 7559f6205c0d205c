"""What the report reads of a run folder, checked: each file whole, each architecture one of the space."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from raynas.errors import RaynasError, RunDamagedError, RunNotFoundError
from raynas.explore import Objective, SearchState, trials_table
from raynas.explore.history import COLUMNS
from raynas.report.front import FrontMember, find_front, read_front
from raynas.report.training_figures import TrainingFigures, read_training_figures
from raynas.space import Architecture, SearchSpace

T = TypeVar("T")
COSTS = ("flops", "params")


@dataclass(frozen=True, slots=True)
class RunFiles:
    """A run folder, read.

    Attributes:
        space: the search space.
        trials: the trials, by id.
        best: the architecture of ``best.json``; ``None`` if there is none, or there are several objectives.
        result: the figures of ``result.json``; empty if there are none.
        metric: what was searched for, the first of several; ``None`` if it is nowhere to be read.
        mode: ``"max"`` or ``"min"``, of that metric.
        objective: all metrics with their modes where there are several; ``None`` for a single one.
        front: where there are several objectives, the front of ``best.json``, else that of the trials.
        missing: the files that are not there.
        training: the figures of the supernet's training; ``None`` if there are none.
        learnt: the architecture that the method of this training has come to prefer, if it learns one and has ended.
    """

    space: SearchSpace
    trials: pa.Table
    best: Architecture | None
    result: Mapping[str, Any]
    metric: str | None
    mode: str
    objective: Objective | None
    front: tuple[FrontMember, ...]
    missing: tuple[str, ...]
    training: TrainingFigures | None = None
    learnt: Architecture | None = None


def read_run(folder: Path) -> RunFiles:
    """Read a run folder.

    Args:
        folder: with ``search_space.json`` and a ``journal`` or ``trials.parquet``, and perhaps ``best.json``,
            ``result.json`` and ``supernet.jsonl``. The journal is the truth, also while a search runs and after it was killed.

    Raises:
        RunNotFoundError: the space is missing, or both of the next two.
        RunDamagedError: a file cannot be read, or does not fit the others.
    """
    journaled = _read_journal(folder / "journal")
    for name in ("search_space.json", "trials.parquet"):
        if not (folder / name).exists() and (journaled is None or name == "search_space.json"):
            raise RunNotFoundError(f"{folder} has no {name}, which a report is made from; run `raynas search` first")
    space = _read(folder / "search_space.json", SearchSpace.load)
    trials = _read(folder / "trials.parquet", _read_trials) if journaled is None else journaled
    missing = tuple(name for name in ("best.json", "result.json") if not (folder / name).exists())
    result = {} if "result.json" in missing else _read(folder / "result.json", _read_object)
    metrics, modes = _read(folder / "result.json", lambda _: _metrics(result, _opened(folder), trials))
    objective = _read(folder / "result.json", lambda _: Objective(metrics, modes)) if len(metrics) > 1 else None
    best, front = (None, None) if "best.json" in missing else _read(folder / "best.json", lambda path: _read_best(path, space))
    if objective is not None:
        best = None
        if front is None:
            front = _read(folder / "trials.parquet", lambda _: find_front(trials, objective, space))
    elif best is None and isinstance(result.get("best_architecture"), dict):
        best = _read(folder / "result.json", lambda _: space.validate(result["best_architecture"]))
    metric, mode = next(iter(metrics), None), next(iter(modes), "max")
    training = read_training_figures(folder / "supernet.jsonl")
    learnt = _read(folder / "result.json", lambda _: _learnt(result, space))
    return RunFiles(space, trials, best, result, metric, mode, objective, front or (), missing, training, learnt)


def _read(path: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except (RaynasError, OSError, ValueError, RecursionError, pa.ArrowException) as cause:
        raise RunDamagedError(f"{path} cannot be read: {cause}; restore it, or run `raynas search` again") from cause


def _read_journal(folder: Path) -> pa.Table | None:
    """The trials as the journal has them; ``None`` where it is not there, or cannot be read: then there is the table."""
    try:
        return trials_table(SearchState.read(folder).records.values())
    except (RaynasError, OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _read_trials(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        table = file.read()
    for name in COLUMNS:
        if name not in table.column_names:
            raise ValueError(f"the column {name!r} is missing; found {', '.join(table.column_names)}")
    for name in table.column_names[len(COLUMNS) :]:
        kind = table.schema.field(name).type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
            raise ValueError(f"the metric {name!r} is a column of {kind}; expected numbers")
    return table.sort_by("id")


def _read_json(path: Path) -> Any:
    # Python refuses to read integers of thousands of digits; such a size is counted from the space instead.
    return json.loads(path.read_bytes(), parse_int=lambda digits: int(digits) if len(digits) < 4000 else digits)


def _read_object(path: Path) -> dict[str, Any]:
    found = _read_json(path)
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}; expected an object")
    return found


def _read_best(path: Path, space: SearchSpace) -> tuple[Architecture | None, tuple[FrontMember, ...] | None]:
    """The architecture, or the front where there are several objectives: none of it is the best."""
    found = _read_json(path)
    entries = found.get("front") if isinstance(found, dict) else found
    if isinstance(entries, list):
        return None, read_front(entries, space)
    return space.validate(found), None


def _learnt(result: Mapping[str, Any], space: SearchSpace) -> Architecture | None:
    supernet = result.get("supernet")
    found = supernet.get("architecture") if isinstance(supernet, dict) else None
    return space.validate(found) if isinstance(found, dict) else None


def _opened(folder: Path) -> Mapping[str, Any]:
    """Metric and mode as the journal begins with them: all that says them while a search runs."""
    for path in sorted((folder / "journal").glob("000001*.jsonl")):
        with path.open("rb") as file:
            line = file.readline()
        try:
            found = json.loads(line)["objective"]
        except (ValueError, KeyError, TypeError):
            continue  # it is being written
        if isinstance(found, dict):
            return found
    return {}


def _metrics(result: Mapping[str, Any], opened: Mapping[str, Any], trials: pa.Table) -> tuple[list[str], list[str]]:
    """The metrics that were searched for, none if they are nowhere to be read, with their modes."""
    said = opened if result.get("metric") is None and opened else result
    metrics, modes = (
        value if isinstance(value, list) or value is None else [value] for value in map(said.get, ("metric", "mode"))
    )
    if metrics is None:
        metrics = [name for name in trials.column_names[len(COLUMNS) :] if name not in COSTS][:1]
    if modes is None:
        modes = [_guess_mode(name) for name in metrics]
    named = all(isinstance(name, str) for name in metrics) and all(mode in ("max", "min") for mode in modes)
    if not named or (said.get("metric") is not None and not 0 < len(metrics) == len(modes)):
        raise ValueError(f'metric is {metrics} and mode {modes}; expected names, and "max" or "min" for each')
    return metrics, modes


def _guess_mode(metric: Any) -> str:
    return "min" if any(word in str(metric).lower() for word in ("loss", "error")) else "max"
