"""``SearchResult``: what a search found, in memory; on disk it is in ``search_files``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from raynas.errors import OptionError, SearchStoppedError
from raynas.explore import SearchState, TrialRecord, hypervolume, trials_table
from raynas.space import Architecture


@dataclass(frozen=True)
class Best:
    """The best trial.

    Attributes:
        architecture: what it evaluated.
        value: its metric, in the user's sign.
        metrics: all that it reported.
        trial_id: its id.
    """

    architecture: Architecture
    value: float
    metrics: Mapping[str, float]
    trial_id: int


@dataclass(frozen=True)
class ParetoPoint:
    """A trial that no other one beats in all objectives.

    Attributes:
        architecture: what it evaluated.
        metrics: all that it reported, in the user's sign.
        trial_id: its id.
    """

    architecture: Architecture
    metrics: Mapping[str, float]
    trial_id: int


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        state: what the search has come to.
        engine: the engine that ran it.
        seconds: how long it took, this time.
        folder: the run folder, a text for a URI; ``None`` if nothing was kept.
    """

    state: SearchState
    engine: str
    seconds: float
    folder: Path | str | None

    @property
    def records(self) -> Mapping[int, TrialRecord]:
        """Every trial, by id."""
        return self.state.records

    @property
    def num_spent(self) -> int:
        """Trials that were run."""
        return self.state.num_spent

    @property
    def num_forbidden(self) -> int:
        """Proposals that the constraint forbade."""
        return self.state.num_forbidden

    @property
    def trials(self) -> pa.Table:
        """Every trial as a table: id, state, digest, architecture (JSON), budget, ..., and a column a metric."""
        return trials_table(self.records.values())

    @property
    def best(self) -> Best:
        """The best trial.

        Raises:
            SearchStoppedError: no trial completed.
            OptionError: there are several objectives; ``pareto`` has the trials that no other one beats.
        """
        metrics = self.state.objective.metrics
        if len(metrics) > 1:
            raise OptionError(f"with the objectives {', '.join(metrics)} no single trial is the best; see result.pareto")
        record = self.state.best()
        if record is None:
            errors = [record.error.splitlines()[0] for record in self.records.values() if record.error]
            last = f"the last failure was: {errors[-1]}" if errors else "none was run"
            raise SearchStoppedError(f"no trial completed; {last}")
        return Best(record.architecture, record.metrics[metrics[0]], record.metrics, record.id)

    @property
    def pareto(self) -> list[ParetoPoint]:
        """The trials that no other one dominates, by id; with a single objective, the best one alone."""
        return [ParetoPoint(record.architecture, record.metrics, record.id) for record in self.state.front()]

    @property
    def hypervolume(self) -> float:
        """Of the front, above the worst value of each objective among all completed trials; 0 if there are none."""
        return front_hypervolume(self.state)[0]


def front_hypervolume(state: SearchState) -> tuple[float, list[float]]:
    """The hypervolume of the front, and the reference point, the worst of each objective, in the user's sign."""
    objective = state.objective
    points = [objective.point(record.metrics) for record in state.completed()]
    if not points:
        return 0.0, []
    worst = [min(values) for values in zip(*points, strict=True)]
    front = [objective.point(record.metrics) for record in state.front()]
    return hypervolume(front, worst), list(objective.point(dict(zip(objective.metrics, worst, strict=True))))
