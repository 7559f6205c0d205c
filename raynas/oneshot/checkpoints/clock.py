"""``CheckpointClock``: after which steps a checkpoint is due, on all workers alike."""

from __future__ import annotations

import time

from raynas.oneshot.options import TrainOptions
from raynas.oneshot.workers.world import World


class CheckpointClock:
    """Counts steps, and minutes by rank 0's clock.

    Args:
        options: ``checkpoint_every`` and ``checkpoint_minutes``.
        world: the workers; each asks after every step.
        unit: what falls due in between waits for the next multiple of so many steps.
    """

    def __init__(self, options: TrainOptions, world: World, unit: int = 1) -> None:
        self._options, self._world, self._unit = options, world, unit
        self.restart()

    def restart(self) -> None:
        """A checkpoint has been taken."""
        self._since, self._is_waiting = time.monotonic(), False

    def is_due(self, steps_done: int) -> bool:
        """Whether one is due now. Minutes are looked at every ``log_every`` steps, since all workers have to be asked."""
        self._is_waiting = self._is_waiting or self._falls_due(steps_done)
        return self._is_waiting and steps_done % self._unit == 0

    def _falls_due(self, steps_done: int) -> bool:
        every, minutes = self._options.checkpoint_every, self._options.checkpoint_minutes
        if every is not None and steps_done % every == 0:
            return True
        if minutes is None or steps_done % self._options.log_every:
            return False
        return self._world.any(self._world.rank == 0 and time.monotonic() - self._since >= 60 * minutes)
