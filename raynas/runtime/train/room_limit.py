"""``RoomLimit``: how long a training may be without workers. Ray Train itself would wait for ever."""

from __future__ import annotations

import time

from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.train.v2._internal.execution.controller.state import (
    InitializingState,
    PreemptingState,
    ReschedulingState,
    RestartingState,
    RunningState,
    TrainControllerState,
)

from raynas.runtime.cluster.worker_resources import Workers, no_room

BETWEEN_LOOKS = 0.1  # seconds; Train would look again at once, and keep a processor busy with it


class RoomLimit(ControllerCallback):
    """Ends a training whose workers found no room for too long, at its start or after a failure.

    It lives in Train's controller, which calls it after each look at the cluster.

    Args:
        workers: of the training.
        seconds: how long none may be running.
    """

    def __init__(self, workers: Workers, seconds: float) -> None:
        self._workers, self._seconds = workers, seconds
        self._since: float | None = None

    def after_controller_state_update(self, previous_state: TrainControllerState, current_state: TrainControllerState) -> None:
        """Raises ``TrainingError`` if it has been too long. What is being started now is given its time."""
        now = time.monotonic()
        if isinstance(current_state, RunningState | PreemptingState):
            self._since = None
        elif self._since is None:
            self._since = now
        if self._since is None or not isinstance(current_state, InitializingState | ReschedulingState | RestartingState):
            return
        if now - self._since >= self._seconds:
            raise no_room(self._workers, self._seconds)
        time.sleep(BETWEEN_LOOKS)
