"""``EvaluatorHandle``: the driver's side of one evaluator, and what is left of one that has gone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raynas.explore import TrialRecord
from raynas.runtime.pool.evaluator import Answer, Asked, Evaluator, Place
from raynas.runtime.pool.trial_log import take_trial_log


class EvaluatorHandle:
    """One evaluator: it starts, it is ready, or it is lost and what it left is being looked for.

    Args:
        resources: that it holds, by Ray's names.
        work: a reference of the ``Work``.
        round: how many starts of others failed, one after the other, before this one.
        near: the machine that it is started on if there is room, by Ray's id; ``None``: whichever Ray takes.

    Attributes:
        call: a reference of what it was asked last, ``None`` if it is at rest.
        place: where it is; ``None`` until it is ready.
        trials: those that are with it, in the order in which it evaluates them.
        answer: its last one.
        why_lost: the cause of the failure of the trial that it was at; ``None`` as long as it is not lost.
        blamed: that trial, where it is known; ``None``: what it left says which.
    """

    def __init__(self, resources: Mapping[str, float], work: Any, round: int, *, near: str | None = None) -> None:
        custom = {name: amount for name, amount in resources.items() if name not in ("CPU", "GPU")}
        remote: Any = ray.remote(Evaluator)
        self._actor = remote.options(
            num_cpus=resources.get("CPU", 0),
            num_gpus=resources.get("GPU", 0),
            resources=custom,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(near, soft=True) if near is not None else "DEFAULT",
        ).remote()
        self.round, self.near = round, near
        self.call: Any = self._actor.prepare.remote(work)
        self.place: Place | None = None
        self.trials: dict[int, TrialRecord] = {}
        self.answer: Answer | None = None
        self.why_lost: str | None = None
        self.blamed: int | None = None
        self._way = 0.0  # seconds that the last answer was on its way, there and back
        self._sent = self._arrived = time.monotonic()

    @property
    def is_ready(self) -> bool:
        """Whether it can be given trials, now or when its call returns."""
        return self.place is not None and self.why_lost is None

    @property
    def host(self) -> str | None:
        """The name of its machine, once it is known."""
        return self.place.host if self.place is not None else None

    @property
    def silent_for(self) -> float:
        """Seconds since it was asked something that it has not answered yet."""
        return time.monotonic() - self._sent if self.call is not None else 0.0

    def exchange(self, records: list[TrialRecord], *, give_back: bool = False) -> float | None:
        """Hand trials over and ask for results.

        Returns:
            Seconds from its last answer being ready to these trials being on their way; ``None`` where nothing is handed over
            or there was no answer before.
        """
        asked = [Asked(each.id, each.attempt, each.architecture.to_row(), each.budget) for each in records]
        self.trials |= {each.id: each for each in records}
        self.call = self._actor.exchange.remote(asked, give_back)
        self._sent = time.monotonic()
        if not records or self.answer is None:
            return None
        return self._way + self._sent - self._arrived

    def take_answer(self) -> Answer:
        """The answer that has arrived. Raises what Ray raises where the evaluator has died."""
        answer: Answer = ray.get(self.call)
        self._arrived = time.monotonic()
        self._way = max(0.0, self._arrived - self._sent - answer.seconds)
        self.answer, self.call = answer, None
        return answer

    def lose(self, why: str, *, blamed: int | None = None) -> None:
        """End it, and look for what it left; ``call`` is that now."""
        self.end()
        self.why_lost, self.blamed = why, blamed
        assert self.place is not None
        if self.place.node_id == ray.get_runtime_context().get_node_id():
            self.call = ray.put(take_trial_log(self.place.log))
            return
        there: Any = NodeAffinitySchedulingStrategy(self.place.node_id, soft=False)
        remote = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(take_trial_log)
        self.call = remote.remote(self.place.log)

    def end(self) -> None:
        """End its process at once."""
        with suppress(ray.exceptions.RayError):  # it may have gone already
            ray.kill(self._actor, no_restart=True)

    def close(self) -> Any:
        """Have it leave nothing; gives a reference."""
        return self._actor.close.remote()
