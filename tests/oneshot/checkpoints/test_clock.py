"""``CheckpointClock``: by steps, and by minutes looked at now and then."""

import time

import pytest

from raynas.oneshot import TrainOptions, World
from raynas.oneshot.checkpoints.clock import CheckpointClock


def due(options: TrainOptions, num_steps: int = 12, unit: int = 1) -> list[int]:
    clock = CheckpointClock(options, World(), unit)
    found = []
    for step in range(1, num_steps + 1):
        if clock.is_due(step):
            found.append(step)
            clock.restart()
    return found


def test_every_so_many_steps() -> None:
    assert due(TrainOptions(checkpoint_every=5, checkpoint_minutes=None)) == [5, 10]
    assert due(TrainOptions(checkpoint_every=None, checkpoint_minutes=None)) == []


def test_what_falls_due_in_between_waits_for_the_end_of_a_unit() -> None:
    options = TrainOptions(checkpoint_every=5, checkpoint_minutes=None)
    assert due(options, 30, unit=3) == [6, 12, 15, 21, 27, 30]
    assert due(options, 30, unit=7) == [7, 14, 21, 28]
    assert due(TrainOptions(checkpoint_every=14, checkpoint_minutes=None), 30, unit=4) == [16, 28]


def test_minutes_are_looked_at_with_every_log(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def tick() -> float:
        now[0] += 7
        return now[0]

    monkeypatch.setattr(time, "monotonic", tick)  # 7 seconds at each look
    assert due(TrainOptions(checkpoint_minutes=0.2, log_every=3), 24) == [6, 12, 18, 24]


def test_minutes_that_have_passed_in_mid_unit_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = CheckpointClock(TrainOptions(checkpoint_minutes=1, log_every=2), World(), 5)
    now[0] = 61.0
    assert [step for step in range(1, 6) if clock.is_due(step)] == [5]  # looked at after steps 2 and 4
