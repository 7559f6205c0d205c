"""The Tune engine: Ray Tune runs the trials, one session behind its searcher decides which.

What runs in the workers is in ``trial_runner``.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import tempfile
import time
from typing import Any

from ray import tune
from ray.tune.search import Searcher as TuneSearcher

from raynas.errors import OptionError
from raynas.explore import EngineOptions, SearchSession
from raynas.runtime.cluster.connection import connect, for_workers, num_slots, ship
from raynas.runtime.cluster.interrupts import Interrupts
from raynas.runtime.tune.stopping_scheduler import StoppingScheduler
from raynas.runtime.tune.trial_runner import TrialRunner

SLICE = 1_000  # trials of one ``tune.Tuner``, which keeps in memory every trial that it saw


def run_tune(session: SearchSession, evaluate: Any, options: EngineOptions) -> None:
    """Run a session to its end, through one ``tune.Tuner`` after the other with a reused actor for each slot.

    Raises:
        TaskError: ``evaluate`` cannot be pickled.
        OptionError: the scheduler does more than stop trials; or there is a ``trial_timeout``.
    """
    if options.trial_timeout is not None:
        raise OptionError('Ray Tune does not end a trial that hangs: trial_timeout needs engine="pool"')
    scheduler = StoppingScheduler(options.scheduler, session.objective) if options.scheduler is not None else None
    connect()
    logging.getLogger("ray.tune").setLevel(logging.ERROR)  # each trial would be announced; our own progress says more
    held = scheduler is not None or bool(options.callbacks)
    shipped = dataclasses.replace(options, scheduler=None, callbacks=())
    shared = (for_workers(evaluate), session.space, session.objective.metrics, shipped, held)
    resources = dict(options.resources_per_trial)
    trainable = tune.with_parameters(TrialRunner, payload=ship(shared, "evaluate"), use_gpu=resources.get("gpu", 0) > 0)
    slots = options.max_concurrent or num_slots(resources)
    with tempfile.TemporaryDirectory() as scratch, Interrupts() as interrupts:
        callbacks = [CheckAtEachStep(interrupts), *options.callbacks]
        place = options.storage.folder(".ray").place if options.storage is not None else scratch
        over = False
        while not over:
            searcher = SessionSearcher(session, scheduler)
            tuner = tune.Tuner(
                tune.with_resources(trainable, resources),
                tune_config=_tune_config(searcher, scheduler, slots),
                run_config=_run_config(place, callbacks),
            )
            tuner.fit()
            over = searcher.over


def _tune_config(searcher: SessionSearcher, scheduler: StoppingScheduler | None, slots: int) -> tune.TuneConfig:
    return tune.TuneConfig(
        search_alg=searcher,
        scheduler=scheduler,
        max_concurrent_trials=slots,
        num_samples=-1,
        reuse_actors=True,
        trial_name_creator=lambda trial: trial.trial_id,
        trial_dirname_creator=lambda trial: trial.trial_id,
    )


def _run_config(place: str, callbacks: list[Any]) -> tune.RunConfig:
    return tune.RunConfig(
        name=f"search-{time.time_ns()}",
        storage_path=place,
        verbose=0,
        callbacks=callbacks,
        failure_config=tune.FailureConfig(max_failures=0),  # the session decides which trials run again
        checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
    )


class CheckAtEachStep(tune.Callback):
    """Checks in every turn of Ray Tune's loop."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._interrupts.check()

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        return tune.Callback, ()  # Tune pickles its callbacks for Tuner.restore, which is not used


class SessionSearcher(TuneSearcher):
    """A Tune searcher that is nothing but calls into a session.

    Attributes:
        over: whether the session is at its end, not only this slice of it.
    """

    def __init__(self, session: SearchSession, scheduler: StoppingScheduler | None = None) -> None:
        super().__init__()
        self.over = False
        self._session, self._scheduler = session, scheduler
        self._ids: dict[str, int] = {}
        self._num_suggested = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return TuneSearcher, ()  # Tune pickles its searcher for Tuner.restore, which is not used: the journal is ours

    def set_search_properties(self, *arguments: Any, **named: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a string
        if self._num_suggested >= SLICE:
            return TuneSearcher.FINISHED
        record = self._session.ask()
        if record is None:
            if self._session.num_running:
                return None  # those that run may fail and be run again
            self.over = True
            return TuneSearcher.FINISHED
        self._num_suggested += 1
        self._ids[trial_id] = record.id
        asked = {"id": record.id, "architecture": record.architecture.to_row(), "budget": record.budget}
        return {"trial": json.dumps(asked)}  # one string: Tune deep-copies and flattens whatever it is given

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        number = self._ids.get(trial_id)
        if number is not None and "told" not in result and "reported" in result:
            self._session.report(number, json.loads(result["reported"]))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        number = self._ids.pop(trial_id, None)
        if number is None:
            return
        if error or not result or not {"told", "reported"} & set(result):
            self._session.fail(number, "the worker of this trial died", died=True)
            return
        if "told" not in result:
            full = self._scheduler is not None and self._scheduler.is_full(result)
            tell = self._session.tell if full else self._session.stop
            tell(number, json.loads(result["reported"]), start=result["start"], node=result["node"])
            return
        told = json.loads(result["told"])
        where = {"start": told["start"], "node": told["node"]}
        if told["stopped"]:
            self._session.stop(number, told["metrics"], **where)
        elif told["error"] is None:
            self._session.tell(number, told["metrics"], **where)
        else:
            self._session.fail(number, told["error"], **where)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal holds all of it."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a search is resumed from its journal."""
