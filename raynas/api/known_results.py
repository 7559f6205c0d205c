"""Results from elsewhere, for a searcher to begin with: of an earlier run's folder, or given one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raynas.api.run_folder import RunFolder
from raynas.errors import ArchitectureError, OptionError
from raynas.explore import Objective, SearchState
from raynas.space import SearchSpace

Known = dict[str, Any]  # "parameter": an architecture, "metrics": in the user's sign


def read_known(source: str | Path | Sequence[Mapping[str, Any]], space: SearchSpace, objective: Objective) -> list[Known]:
    """Read what a search is to be told before its first proposal.

    Args:
        source: the folder of an earlier run, which may still go on; or ``{"parameter": ..., "value": ...}`` each, with
            ``"metrics"`` instead of ``"value"`` where there are several objectives.
        space: the architectures must be of it.
        objective: which metrics must be there.

    Raises:
        RunNotFoundError: there is no such folder.
        RunDamagedError: its journal cannot be read.
        ArchitectureError: an architecture does not fit the space.
        OptionError: a metric is missing or is no number.
    """
    entries = _of_run(source) if isinstance(source, str | Path) else [_of_entry(entry, objective) for entry in source]
    known = []
    for number, (architecture, metrics) in enumerate(entries):
        try:
            read = space.validate(architecture)
        except ArchitectureError as error:
            raise ArchitectureError(f"import_data, entry {number}: {error}") from None
        problem = objective.problem(metrics)
        if problem is not None:
            raise OptionError(f"import_data, entry {number}: {problem}")
        known.append({"parameter": read, "metrics": metrics})
    return known


def _of_run(path: str | Path) -> list[tuple[Mapping[str, Any], dict[str, float]]]:
    folder = RunFolder.open(path)  # which a copy goes with
    state = SearchState.read(folder.journal)
    return [(record.architecture, record.metrics) for record in state.completed()]


def _of_entry(entry: Mapping[str, Any], objective: Objective) -> tuple[Mapping[str, Any], dict[str, float]]:
    if not isinstance(entry, Mapping) or "parameter" not in entry or not {"value", "metrics"} & set(entry):
        raise OptionError(f'import_data holds {entry!r}; expected {{"parameter": architecture, "value": number}}')
    metrics = entry["metrics"] if "metrics" in entry else {objective.metrics[0]: entry["value"]}
    try:
        return entry["parameter"], {name: float(value) for name, value in metrics.items()}
    except (TypeError, ValueError, OverflowError, AttributeError):
        raise OptionError(f"import_data holds {metrics!r}; expected numbers") from None
