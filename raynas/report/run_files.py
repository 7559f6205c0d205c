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
from raynas.explore.history import COLUMNS
from raynas.space import Architecture, SearchSpace

T = TypeVar("T")
COSTS = ("flops", "params")


@dataclass(frozen=True, slots=True)
class RunFiles:
    """A run folder, read.

    Attributes:
        space: the search space.
        trials: the trials, by id.
        best: the architecture of ``best.json``; ``None`` if there is none, or a front of several.
        result: the figures of ``result.json``; empty if there are none.
        metric: what was searched for, the first of several; ``None`` if it is nowhere to be read.
        mode: ``"max"`` or ``"min"``.
        missing: the files that are not there.
    """

    space: SearchSpace
    trials: pa.Table
    best: Architecture | None
    result: Mapping[str, Any]
    metric: str | None
    mode: str
    missing: tuple[str, ...]


def read_run(folder: Path) -> RunFiles:
    """Read a run folder.

    Args:
        folder: with ``search_space.json`` and ``trials.parquet``, and perhaps ``best.json`` and ``result.json``.

    Raises:
        RunNotFoundError: one of the first two is missing.
        RunDamagedError: a file cannot be read, or does not fit the others.
    """
    for name in ("search_space.json", "trials.parquet"):
        if not (folder / name).exists():
            raise RunNotFoundError(f"{folder} has no {name}, which a report is made from; run `raynas search` first")
    space = _read(folder / "search_space.json", SearchSpace.load)
    trials = _read(folder / "trials.parquet", _read_trials)
    missing = tuple(name for name in ("best.json", "result.json") if not (folder / name).exists())
    result = {} if "result.json" in missing else _read(folder / "result.json", _read_object)
    best = None if "best.json" in missing else _read(folder / "best.json", lambda path: _read_best(path, space))
    if best is None and isinstance(result.get("best_architecture"), dict):
        best = _read(folder / "result.json", lambda _: space.validate(result["best_architecture"]))
    metric, mode = _read(folder / "result.json", lambda _: _objective(result, trials))
    return RunFiles(space, trials, best, result, metric, mode, missing)


def _read(path: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except (RaynasError, OSError, ValueError, RecursionError, pa.ArrowException) as cause:
        raise RunDamagedError(f"{path} cannot be read: {cause}; restore it, or run `raynas search` again") from cause


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


def _read_best(path: Path, space: SearchSpace) -> Architecture | None:
    found = _read_json(path)
    if isinstance(found, list):  # the front, where there are several objectives: none of it is the best
        return None
    return space.validate(found)


def _objective(result: Mapping[str, Any], trials: pa.Table) -> tuple[str | None, str]:
    metric, mode = (value[0] if isinstance(value, list) and value else value for value in map(result.get, ("metric", "mode")))
    if metric is None:
        metric = next((name for name in trials.column_names[len(COLUMNS) :] if name not in COSTS), None)
    if mode is None:
        mode = "min" if metric is not None and any(word in str(metric).lower() for word in ("loss", "error")) else "max"
    if mode not in ("max", "min") or not isinstance(metric, str | None):
        raise ValueError(f'metric is {metric!r} and mode {mode!r}; expected a name, and "max" or "min"')
    return metric, mode
