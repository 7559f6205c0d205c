"""The Tune engine: Ray Tune runs the trials, one session behind its searcher decides which."""

from __future__ import annotations

import json
import logging
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
import ray.cloudpickle
from ray import tune
from ray.tune.search import Searcher as TuneSearcher

from raynas.explore import EngineOptions, SearchSession, Trial, prepare_evaluate, run_trial
from raynas.runtime.cluster import connect, num_cpus, ship
from raynas.space import Architecture, SearchSpace


def run_tune(session: SearchSession, evaluate: Any, options: EngineOptions) -> None:
    """Run a session to its end, through ``tune.Tuner`` with one reused actor for each slot.

    Raises:
        TaskError: ``evaluate`` cannot be pickled.
    """
    connect()
    logging.getLogger("ray.tune").setLevel(logging.ERROR)  # each trial would be announced; our own progress says more
    shared = (evaluate, session.space, session.objective.metrics, options)
    trainable = tune.with_parameters(TrialRunner, payload=ship(shared, "evaluate"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder / ".ray" if options.folder is not None else Path(scratch)
        tuner = tune.Tuner(
            tune.with_resources(trainable, dict(options.resources_per_trial)),
            tune_config=tune.TuneConfig(
                search_alg=SessionSearcher(session),
                max_concurrent_trials=options.max_concurrent or _slots(options),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=lambda trial: trial.trial_id,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name=f"search-{time.time_ns()}",
                storage_path=str(folder.resolve()),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=1),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        tuner.fit()


def _slots(options: EngineOptions) -> int:
    cpus = options.resources_per_trial.get("cpu", 1) or 1
    return max(1, int(num_cpus() / cpus))


class TrialRunner(tune.Trainable):
    """Runs one trial after the other in one process; ``evaluate`` is prepared at the first.

    Tune may call ``setup`` for a trial that already runs elsewhere, so nothing happens there.
    """

    def setup(self, config: dict[str, Any], payload: bytes = b"") -> None:
        self._config, self._payload = config, payload
        self._prepared: tuple[Any, SearchSpace, tuple[str, ...], EngineOptions] | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._config = new_config
        return True

    def step(self) -> dict[str, Any]:
        if self._prepared is None:
            evaluate, space, metrics, options = ray.cloudpickle.loads(self._payload)
            self._prepared = prepare_evaluate(evaluate), space, metrics, options
        call, space, metrics, options = self._prepared
        asked, start = json.loads(self._config["trial"]), time.time()
        trial = Trial(
            asked["id"],
            Architecture.from_dict(space, asked["architecture"]),
            budget=asked["budget"],
            folder=options.trial_folder(asked["id"]),
        )
        outcome = run_trial(call, trial, metrics)
        told = {"metrics": outcome.metrics, "error": outcome.error, "start": start, "node": socket.gethostname()}
        return {"done": True, "told": json.dumps(told)}


class SessionSearcher(TuneSearcher):
    """A Tune searcher that is nothing but calls into a session."""

    def __init__(self, session: SearchSession) -> None:
        super().__init__()
        self._session = session
        self._ids: dict[str, int] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return TuneSearcher, ()  # Tune pickles its searcher for Tuner.restore, which is not used: the journal is ours

    def set_search_properties(self, *arguments: Any, **named: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a string
        record = self._session.ask()
        if record is None:
            over = self._session.done or not self._session.num_running
            return TuneSearcher.FINISHED if over else None
        self._ids[trial_id] = record.id
        asked = {"id": record.id, "architecture": record.architecture.to_dict(), "budget": record.budget}
        return {"trial": json.dumps(asked)}  # one string: Tune deep-copies and flattens whatever it is given

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: a trial reports once."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        number = self._ids.pop(trial_id, None)
        if number is None:
            return
        if error or not result or "told" not in result:
            self._session.fail(number, "the worker of this trial died, and died again when it was tried once more")
            return
        told = json.loads(result["told"])
        if told["error"] is None:
            self._session.tell(number, told["metrics"], start=told["start"], node=told["node"])
        else:
            self._session.fail(number, told["error"], start=told["start"], node=told["node"])

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal holds all of it."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a search is resumed from its journal."""
