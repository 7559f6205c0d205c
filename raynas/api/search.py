"""``search``: a space, something that evaluates architectures, a searcher, an engine."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from raynas.api.connection import ray_is_running
from raynas.api.known_results import read_known
from raynas.api.run_folder import RunFolder
from raynas.api.search_files import SearchFiles
from raynas.api.search_result import SearchResult
from raynas.errors import OptionError
from raynas.explore import (
    Constraint,
    EngineOptions,
    Journal,
    Objective,
    ProgressLine,
    SearchLimits,
    SearchSession,
    make_searcher,
    run_local,
    watch,
)
from raynas.space import SearchSpace

ENGINES = ("local", "tune", "pool")  # and "auto", which takes one of these


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
    trial_timeout: float | None = None,
    constraint: Constraint | None = None,
    repeat: bool = False,
    max_failures_per_trial: int | None = None,
    max_seconds: float | None = None,
    patience: int | None = None,
    initial_architectures: Sequence[Mapping[str, Any]] = (),
    import_data: str | Path | Sequence[Mapping[str, Any]] = (),
    engine: str = "auto",
    scheduler: Any = None,
    callbacks: Sequence[Any] = (),
    storage_path: str | Path | None = None,
    name: str = "search",
    resume: bool = False,
    progress: bool | None = None,
    on_event: Callable[[SearchSession], None] | None = None,
) -> SearchResult:
    """Search for the best architecture of a space.

    Args:
        space: what to search.
        evaluate: called with a ``Trial``, reports its metrics with ``trial.report(accuracy=...)``; or a class with
            ``setup()``, called once in each process, and ``evaluate(trial)``.
        searcher: a name of ``raynas.searchers()``, or an object: with the tuner protocol, a tuner written for NNI, or a
            searcher of Ray Tune such as ``OptunaSearch()``.
        searcher_options: for a searcher given by name.
        metric: what counts; several objectives as a list.
        mode: ``"max"`` or ``"min"``, one for each objective.
        num_trials: how many trials are run; what was evaluated before is answered from the history and costs none.
        max_concurrent: how many run at once; ``None``: as many as there is room for. In process they run one after the
            other all the same, the searcher sees them as simultaneous.
        resources_per_trial: ``{"cpu": 1, "gpu": 0.5}``; ``{"cpu": 1}`` if ``None``.
        trial_timeout: seconds that one trial may take; one that takes longer is ended, with its process, and has failed with
            that cause. Of the engine ``"pool"`` only. ``None``: any time.
        constraint: an architecture to whether it may be evaluated, asked before a trial is spent.
        repeat: whether the same architecture may be run again.
        max_failures_per_trial: how often a trial that failed is run again, under its own id. ``None``: once if its worker
            died, never if ``evaluate`` raised an error.
        max_seconds: after how many seconds no trial is started any more; those that run are waited for.
        patience: end when so many trials in a row have not bettered the best value, or the front.
        initial_architectures: run first; the searcher learns of their results before it proposes.
        import_data: results from elsewhere, which the searcher is told first: the folder of an earlier run, or
            ``{"parameter": architecture, "value": number}`` each, in the sign of the metric.
        engine: ``"local"`` in this process; ``"tune"`` through Ray Tune, where a scheduler can stop trials; ``"pool"`` on
            evaluators that stay warm from trial to trial. ``"auto"``: Tune for a scheduler or a callback, the pool for a
            ``trial_timeout``; else, where Ray is connected, the pool for ``raynas.inherited`` and Tune for what trains; else
            local. ``result.engine`` says which it was.
        scheduler: of Ray Tune, ``ASHAScheduler`` for example; it stops trials that report and do badly.
        callbacks: of Ray Tune: TensorBoard, MLflow, W&B.
        storage_path: the folder of run folders, or its URI, ``s3://bucket/runs`` for example; ``None`` keeps nothing.
        name: of the run folder.
        resume: go on with a run folder that is there; what it holds is not run again.
        progress: whether a live line is shown; ``None``: where standard error is a terminal.
        on_event: called after every proposal and result, for progress.

    Raises:
        OptionError: an argument is out of its range.
        RunExistsError: the run folder is there and ``resume`` is not set, or it was made with another space,
            objective or searcher.
        UnknownSearcherError: no searcher of that name is installed.
        SearcherError: the searcher broke the tuner protocol.
        ConstraintError: the constraint raised an error.
        SearchStoppedError: five trials in a row failed with the same cause.

    Example:
        >>> import raynas
        >>> space = raynas.SearchSpace({"width": {"_type": "choice", "_value": [16, 24, 32]}})
        >>> def evaluate(trial):
        ...     trial.report(accuracy=trial.architecture["width"].value / 32)
        >>> raynas.search(space, evaluate, num_trials=3).best.architecture
        Architecture(width=32)
    """
    objective = Objective(metric, mode)
    limits = SearchLimits(num_trials, constraint, repeat, max_failures_per_trial, max_seconds, patience)
    made, about = _make_searcher(searcher, searcher_options)
    if engine == "auto":
        has_time_limit = trial_timeout is not None
        engine = _choose_engine(evaluate, only_tune=scheduler is not None or bool(callbacks), only_pool=has_time_limit)
    run_engine = _load_engine(engine)
    initial = [space.validate(architecture) for architecture in initial_architectures]
    known = read_known(import_data, space, objective)
    start = time.time()
    with ExitStack() as stack:
        folder = RunFolder.create(storage_path, name, resume=resume) if storage_path is not None else None
        if folder is not None:
            stack.enter_context(folder.kept())
        _forget_if_refused(folder, stack)
        journal = _open_journal(folder, space, about, stack)
        session = SearchSession(made, space, objective, limits=limits, journal=journal, on_event=on_event)
        stack.enter_context(watch(session.searcher))
        if folder is not None:
            facts = {"metric": metric, "mode": mode, "space_size": space.size, **about, "engine": engine}
            _keep_files(session, SearchFiles(folder, facts), stack)
        if progress or (progress is None and on_event is None and sys.stderr.isatty()):
            _show_progress(session, stack)
        session.start_from(initial, known)
        resources, storage = dict(resources_per_trial or {"cpu": 1}), folder.storage if folder else None
        engine_options = EngineOptions(max_concurrent, resources, storage, scheduler, callbacks, trial_timeout)
        run_engine(session, evaluate, engine_options)
        if session.error is not None:
            raise session.error
    return SearchResult(session.state, engine, time.time() - start, folder.result_place if folder else None)


def _forget_if_refused(folder: RunFolder | None, stack: ExitStack) -> None:
    """A new run that ends with an error before its first proposal leaves no folder: once mended, its name is free."""
    if folder is None or any(folder.path.iterdir()):
        return

    def forget(kind: type[BaseException] | None, *_: object) -> None:
        begun = any(path.read_bytes().count(b"\n") > 1 for path in folder.journal.glob("*"))
        if kind is not None and not begun:
            shutil.rmtree(folder.path, ignore_errors=True)

    stack.push(forget)


def _keep_files(session: SearchSession, files: SearchFiles, stack: ExitStack) -> None:
    session.listeners.append(files)
    stack.callback(lambda: files.write(session.state))


def _show_progress(session: SearchSession, stack: ExitStack) -> None:
    line = ProgressLine()
    session.listeners.append(line)
    stack.callback(lambda: line.close(session))


def _make_searcher(searcher: Any, options: Mapping[str, Any] | None) -> tuple[Any, dict[str, Any]]:
    """The searcher, and what a run folder says of it."""
    if isinstance(searcher, str):
        return make_searcher(searcher, options or {}), {"searcher": searcher, "searcher_options": _as_json(options or {})}
    if options:
        raise OptionError("searcher_options are for a searcher given by name; this one is an object")
    about = {"searcher": type(searcher).__name__}
    if any(kind.__module__.startswith("ray.tune.") for kind in type(searcher).__mro__):
        from raynas.runtime import TuneSearcherAdapter

        return TuneSearcherAdapter(searcher), about
    return searcher, about


def _as_json(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, str | int | float | None) else repr(value) for name, value in options.items()}


def _choose_engine(evaluate: Any, *, only_tune: bool, only_pool: bool) -> str:
    """What ``"auto"`` means here."""
    engine = "local"
    if only_tune or only_pool:
        engine = "tune" if only_tune else "pool"
    elif ray_is_running():
        engine = getattr(evaluate, "engine_with_ray", "tune")
    logging.getLogger(__name__).info("engine %r was chosen", engine)
    return engine


def _load_engine(engine: str) -> Callable[[SearchSession, Any, EngineOptions], None]:
    """Its function; Ray is loaded where it is needed."""
    if engine not in ENGINES:
        raise OptionError(f"engine {engine!r} does not exist; expected one of auto, {', '.join(ENGINES)}")
    if engine == "local":
        return run_local
    if engine == "pool":
        from raynas.runtime import run_pool

        return run_pool
    from raynas.runtime import run_tune

    return run_tune


def _open_journal(folder: RunFolder | None, space: SearchSpace, about: dict[str, Any], stack: ExitStack) -> Journal | None:
    if folder is None:
        return None
    if not folder.search_space.exists():
        space.save(folder.search_space)
    journal = Journal(folder.journal, about=about)
    stack.callback(journal.close)
    return journal
