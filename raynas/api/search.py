"""``search``: a space, something that evaluates architectures, a searcher, an engine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from raynas.api.connection import ray_is_running
from raynas.api.run_folder import RunFolder
from raynas.errors import OptionError, SearchStoppedError
from raynas.explore import (
    Constraint,
    EngineOptions,
    Journal,
    Objective,
    SearchLimits,
    SearchSession,
    TrialRecord,
    make_searcher,
    run_local,
    trials_table,
    write_trials,
)
from raynas.space import Architecture, SearchSpace

ENGINES = ("auto", "local", "tune")


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
class SearchResult:
    """What a search found.

    Attributes:
        records: every trial, by id.
        objective: which metrics counted.
        num_spent: trials that were run.
        num_forbidden: proposals that the constraint forbade.
        engine: the engine that ran them.
        seconds: how long it took.
        folder: the run folder, ``None`` if nothing was kept.
        found: the best trial, ``None`` if none completed.
    """

    records: Mapping[int, TrialRecord]
    objective: Objective
    num_spent: int
    num_forbidden: int
    engine: str
    seconds: float
    folder: Path | None
    found: Best | None

    @property
    def trials(self) -> pa.Table:
        """Every trial as a table: id, state, digest, architecture (JSON), budget, ..., and a column a metric."""
        return trials_table(self.records.values())

    @property
    def best(self) -> Best:
        """The best trial. Raises ``SearchStoppedError`` if no trial completed."""
        if self.found is None:
            errors = [record.error.splitlines()[0] for record in self.records.values() if record.error]
            last = f"the last failure was: {errors[-1]}" if errors else "none was run"
            raise SearchStoppedError(f"no trial completed; {last}")
        return self.found


def search(
    space: SearchSpace,
    evaluate: Any,
    *,
    searcher: Any = "random",
    searcher_options: Mapping[str, Any] | None = None,
    metric: str | Sequence[str] = "accuracy",
    mode: str | Sequence[str] = "max",
    num_trials: int = 100,
    max_concurrent: int | None = None,
    resources_per_trial: Mapping[str, float] | None = None,
    constraint: Constraint | None = None,
    repeat: bool = False,
    engine: str = "auto",
    storage_path: str | Path | None = None,
    name: str = "search",
    resume: bool = False,
    on_event: Callable[[SearchSession], None] | None = None,
) -> SearchResult:
    """Search for the best architecture of a space.

    Args:
        space: what to search.
        evaluate: called with a ``Trial``, reports its metrics with ``trial.report(accuracy=...)``; or a class with
            ``setup()``, called once in each process, and ``evaluate(trial)``.
        searcher: a name of ``raynas.searchers()``, or any object with the tuner protocol.
        searcher_options: for a searcher given by name.
        metric: what counts.
        mode: ``"max"`` or ``"min"``.
        num_trials: how many trials are run; what was evaluated before is answered from the history and costs none.
        max_concurrent: how many run at once; ``None``: as many as there is room for. In process they run one after the
            other all the same, the searcher sees them as simultaneous.
        resources_per_trial: ``{"cpu": 1, "gpu": 0.5}``; ``{"cpu": 1}`` if ``None``.
        constraint: an architecture to whether it may be evaluated, asked before a trial is spent.
        repeat: whether the same architecture may be run again.
        engine: ``"local"`` in this process, ``"tune"`` through Ray Tune, ``"auto"``: Tune where Ray is connected.
        storage_path: the folder of run folders; ``None`` keeps nothing on disk.
        name: of the run folder.
        resume: go on with a run folder that is there; what it holds is not run again.
        on_event: called after every proposal and result, for progress.

    Raises:
        OptionError: an argument is out of its range.
        RunExistsError: the run folder is there and ``resume`` is not set, or it was made with another space.
        UnknownSearcherError: no searcher of that name is installed.
        SearcherError: the searcher broke the tuner protocol.
        SearchStoppedError: five trials in a row failed with the same cause.

    Example:
        >>> import raynas
        >>> space = raynas.SearchSpace({"width": {"_type": "choice", "_value": [16, 24, 32]}})
        >>> def evaluate(trial):
        ...     trial.report(accuracy=trial.architecture["width"].value / 32)
        >>> raynas.search(space, evaluate, num_trials=3).best.architecture
        Architecture(width=32)
    """
    if type(num_trials) is not int or num_trials < 1:
        raise OptionError(f"num_trials is {num_trials!r}; expected an integer of at least 1")
    run_engine, engine = _choose_engine(engine)
    if isinstance(searcher, str):
        searcher = make_searcher(searcher, searcher_options or {})
    elif searcher_options:
        raise OptionError("searcher_options are for a searcher given by name; this one is an object")
    objective, limits = Objective(metric, mode), SearchLimits(num_trials, constraint, repeat)
    folder = RunFolder.create(storage_path, name, resume=resume) if storage_path is not None else None
    journal = _open_journal(folder, space)
    session = SearchSession(searcher, space, objective, limits=limits, journal=journal, on_event=on_event)
    options = EngineOptions(max_concurrent, dict(resources_per_trial or {"cpu": 1}), folder.path.resolve() if folder else None)
    start = time.time()
    try:
        run_engine(session, evaluate, options)
    finally:
        _keep(session, folder, journal)
    if session.error is not None:
        raise session.error
    return _make_result(session, engine, time.time() - start, folder)


def _choose_engine(engine: str) -> tuple[Callable[[SearchSession, Any, EngineOptions], None], str]:
    if engine not in ENGINES:
        raise OptionError(f"engine {engine!r} does not exist; expected one of {', '.join(ENGINES)}")
    if engine == "auto":
        engine = "tune" if ray_is_running() else "local"
        logging.getLogger(__name__).info("engine %r was chosen", engine)
    if engine == "local":
        return run_local, engine
    from raynas.runtime import run_tune

    return run_tune, engine


def _open_journal(folder: RunFolder | None, space: SearchSpace) -> Journal | None:
    if folder is None:
        return None
    if not folder.search_space.exists():
        space.save(folder.search_space)
    return Journal(folder.journal)


def _keep(session: SearchSession, folder: RunFolder | None, journal: Journal | None) -> None:
    if folder is None or journal is None:
        return
    write_trials(session.records.values(), folder.trials)
    if len(session.objective.metrics) == 1 and (record := session.best()) is not None:
        record.architecture.save(folder.best)
    journal.close()


def _make_result(session: SearchSession, engine: str, seconds: float, folder: RunFolder | None) -> SearchResult:
    record = session.best() if len(session.objective.metrics) == 1 else None
    found = None
    if record is not None:
        value = record.metrics[session.objective.metrics[0]]
        found = Best(record.architecture, value, record.metrics, record.id)
    return SearchResult(
        records=session.records,
        objective=session.objective,
        num_spent=session.num_spent,
        num_forbidden=session.num_forbidden,
        engine=engine,
        seconds=seconds,
        folder=folder.path if folder else None,
        found=found,
    )
