"""``EvaluatorGroup``: as many evaluators as there is room for, while machines come and go. What they do is not decided here."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from typing import Any

import ray

from raynas.errors import RaynasError, SearchStoppedError
from raynas.runtime.cluster.connection import rays_names
from raynas.runtime.cluster.worker_resources import count_places
from raynas.runtime.pool.evaluator_handle import EvaluatorHandle

LOOK_EVERY = 1.0  # seconds between two looks at what the cluster has
MOST_FAILED_ROUNDS = 3  # starts that failed, one after the other
PAUSE = 60.0  # seconds without new evaluators, after so many failures, where others are at work


class EvaluatorGroup:
    """Starts evaluators, and replaces those that have gone.

    Args:
        resources: of each, as the user names them.
        work: a reference of the ``Work``.
        most: how many there may be; ``None``: as many as the cluster has room for.
        home: the machine that is filled first, by Ray's id; ``None``: whichever Ray takes.

    Attributes:
        members: all of them: those that start, those that are ready, and those whose remains are looked for.
    """

    def __init__(self, resources: Mapping[str, float], work: Any, most: int | None, *, home: str | None = None) -> None:
        self.members: list[EvaluatorHandle] = []
        self._home = home
        self._resources, self._work, self._most = rays_names(resources), work, most
        self._failed_rounds, self._was_ready = 0, False
        self._next_look = self._paused_until = 0.0

    def ready(self) -> list[EvaluatorHandle]:
        """Those that can be given trials."""
        return [each for each in self.members if each.is_ready]

    def fit(self, num_trials: int) -> None:
        """Start or end evaluators, so that there are as many as slots, but no more than trials that are left."""
        if time.monotonic() < max(self._next_look, self._paused_until):
            return
        self._next_look = time.monotonic() + LOOK_EVERY
        wanted = max(1, min(self._count_places(), self._most or num_trials, num_trials))
        living = [each for each in self.members if each.why_lost is None]
        at_home = sum(each.near is not None for each in living)
        for number in range(wanted - len(living)):
            near = self._home if number < self._count_places(self._home) - at_home else None
            self.members.append(EvaluatorHandle(self._resources, self._work, self._failed_rounds, near=near))
        for each in reversed(living[wanted:]):
            if not each.is_ready:  # there is no place for it any more
                each.end()
                self.members.remove(each)

    def take_start(self, evaluator: EvaluatorHandle) -> None:
        """An evaluator that was starting is ready, or has failed.

        Raises:
            SearchStoppedError: ``evaluate`` cannot be set up, or whoever does dies each time.
            RaynasError: what ``setup`` raised, where it is one of raynas's own.
        """
        try:
            evaluator.place = ray.get(evaluator.call)
        except ray.exceptions.RayError as error:
            self.remove(evaluator)
            self._count_failure(evaluator, error)
            return
        evaluator.call = None
        self._failed_rounds, self._was_ready = 0, True

    def remove(self, evaluator: EvaluatorHandle) -> None:
        """It has gone; another one may take its place."""
        evaluator.end()
        self.members.remove(evaluator)
        self._next_look = 0.0

    def end(self) -> None:
        """End all of them, and wait a moment until they have gone."""
        for each in self.members:
            each.end()
        gone = [each.close() for each in self.members]
        if gone:
            ray.wait(gone, num_returns=len(gone), timeout=5)

    def leave_nothing(self) -> None:
        """Have those that are ready clean up, at the end of a search that nothing has disturbed."""
        closing = [each.close() for each in self.ready()]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=5)

    def _count_places(self, node_id: str | None = None) -> int:
        """In the cluster, or on one machine."""
        if not self._resources:
            return self._most or 1
        there = [node for node in ray.nodes() if node["Alive"] and node_id in (None, node["NodeID"])]
        return count_places(self._resources, [node["Resources"] for node in there])

    def _count_failure(self, evaluator: EvaluatorHandle, error: Exception) -> None:
        """Of a start. Evaluators that were started together, and fail together, count once."""
        self._failed_rounds = max(self._failed_rounds, evaluator.round + 1)
        raised = error.cause if isinstance(error, ray.exceptions.RayTaskError) else None
        text = f"evaluate could not be set up: {type(raised).__name__}: {raised}" if raised else "evaluators die in their setup"
        many = self._failed_rounds >= MOST_FAILED_ROUNDS
        if not self.ready() and (many or (raised is not None and not self._was_ready)):
            if isinstance(raised, RaynasError):
                raise raised from None
            failure = SearchStoppedError(text if raised else f"{self._failed_rounds} {text}, one after the other: {error}")
            failure.add_note(str(error))
            raise failure from raised
        logging.getLogger(__name__).warning("%s", text if raised else f"{text}: {error}")
        if many:
            self._paused_until = time.monotonic() + PAUSE


def at_most(size: int, num_evaluators: int, max_concurrent: int | None) -> int:
    """How many trials one evaluator may have, where ``max_concurrent`` bounds those of all together."""
    return size if max_concurrent is None else min(size, math.ceil(max_concurrent / max(1, num_evaluators)))
