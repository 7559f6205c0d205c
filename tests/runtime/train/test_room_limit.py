"""``RoomLimit``: how long a training may wait for room. That Ray Train calls it is tested in ``test_changing_workers``."""

import pickle
from typing import Any

import pytest
from ray.train.v2._internal.execution.controller import state as states
from ray.train.v2._internal.execution.scaling_policy import ResizeDecision

from raynas.errors import TrainingError
from raynas.runtime.cluster.worker_resources import Workers
from raynas.runtime.train import room_limit
from raynas.runtime.train.room_limit import RoomLimit

WORKERS = Workers.of((2, 3), use_gpu=False)
LOST = TrainingError("a worker was lost")
WAITING = [
    states.InitializingState(),
    states.RestartingState(training_failed_error=LOST),  # type: ignore[arg-type]
    states.ReschedulingState(training_failed_error=LOST),  # type: ignore[arg-type]
]
STARTING = states.SchedulingState(ResizeDecision(2, {"CPU": 1}))


class Clock:
    """Goes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(room_limit, "time", clock)
    monkeypatch.setattr(room_limit, "no_room", lambda workers, seconds: TrainingError(f"{workers}: {seconds:g}"))
    return clock


def enter(limit: RoomLimit, *entered: Any) -> None:
    for state in entered:
        limit.after_controller_state_update(state, state)


@pytest.mark.parametrize("waiting", WAITING, ids=lambda state: type(state).__name__)
def test_it_ends_what_has_waited_too_long(clock: Clock, waiting: Any) -> None:
    limit = pickle.loads(pickle.dumps(RoomLimit(WORKERS, 20)))  # it is sent to the controller
    enter(limit, states.RunningState())
    clock.sleep(1_000)
    enter(limit, states.RunningState())
    begun = clock.now
    with pytest.raises(TrainingError, match="2 workers with 1 CPU each: 20"):
        enter(limit, *[waiting] * 1_000)
    assert clock.now - begun == pytest.approx(20, abs=0.2)


def test_a_start_is_given_its_time_and_counts_when_it_has_failed(clock: Clock) -> None:
    limit = RoomLimit(WORKERS, 20)
    enter(limit, WAITING[0], STARTING)
    clock.sleep(60)
    enter(limit, STARTING)
    with pytest.raises(TrainingError):
        enter(limit, WAITING[2])


def test_what_runs_begins_the_time_anew(clock: Clock) -> None:
    limit = RoomLimit(WORKERS, 20)
    for _ in range(5):
        enter(limit, WAITING[1])
        clock.sleep(15)
        enter(limit, STARTING, states.RunningState())
