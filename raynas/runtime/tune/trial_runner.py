"""``TrialRunner``: what runs in the workers of the Tune engine, one trial after the other in one process."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any

import ray.cloudpickle
from ray import tune
from ray.tune.result import AUTO_RESULT_KEYS

from raynas.explore import EngineOptions, Evaluate, Outcome, Trial, cause_of, prepare_evaluate
from raynas.runtime.tune.trial_thread import Report, TrialThread
from raynas.space import Architecture, SearchSpace

SECONDS_TO_STOP = 30.0  # which a stopped trial has to clean up; then its process is ended
_TUNES_OWN = {*AUTO_RESULT_KEYS, "done", "config", "told", "reported", "start", "trial_id"}


class TrialRunner(tune.Trainable):
    """A reused Tune trainable; ``evaluate`` is prepared at the first trial.

    Tune may call ``setup`` for a trial that already runs elsewhere, so nothing happens there.
    """

    def setup(self, config: dict[str, Any], payload: bytes = b"", use_gpu: bool = True) -> None:
        if not use_gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray gives it none, but leaves all in sight
        self._config, self._payload = config, payload
        self._prepared: tuple[Evaluate, SearchSpace, tuple[str, ...], EngineOptions, bool] | None = None
        self._running: TrialThread | None = None
        self._start = 0.0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._config = new_config
        return self._end_running()

    def cleanup(self) -> None:
        self._end_running()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: what ``evaluate`` saves lies in the run folder."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing: ``evaluate`` loads it with ``trial.load()``."""

    def step(self) -> dict[str, Any]:
        if self._running is None:
            self._start = time.time()
            try:
                self._running = self._start_trial()
            except Exception as error:  # Tune would say no more than that the worker died
                return self._result(Outcome(error=cause_of(error)))
        return self._result(self._running.advance())

    def _start_trial(self) -> TrialThread:
        if self._prepared is None:
            evaluate, *rest = ray.cloudpickle.loads(self._payload)
            self._prepared = (prepare_evaluate(evaluate), *rest)
        call, _, metrics, _, held = self._prepared
        return TrialThread(call, self._make_trial, metrics, held=held)

    def _result(self, reached: Report | Outcome) -> dict[str, Any]:
        """What Tune is given: strings for the session, and for the scheduler and the callbacks the figures themselves."""
        where = {"start": self._start, "node": socket.gethostname()}
        if isinstance(reached, Outcome):
            self._running = None
            end = {"metrics": reached.metrics, "error": reached.error, "stopped": reached.stopped}
            figures, result = reached.metrics, {"done": True, "told": json.dumps(end | where)}
        else:
            figures, result = reached, {"reported": json.dumps(reached), **where}
        if self._prepared is not None and self._prepared[-1]:
            result |= {name: value for name, value in figures.items() if name not in _TUNES_OWN}
        return result

    def _make_trial(self, on_report: Any) -> Trial:
        assert self._prepared is not None
        _, space, _, options, _ = self._prepared
        asked = json.loads(self._config["trial"])
        architecture = Architecture.from_row(space, asked["architecture"])
        kept = options.checkpoints
        return Trial(asked["id"], architecture, budget=asked["budget"], checkpoints=kept, on_report=on_report)

    def _end_running(self) -> bool:
        running, self._running = self._running, None
        return running is None or running.stop(SECONDS_TO_STOP)
