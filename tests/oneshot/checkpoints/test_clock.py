"""``CheckpointClock``: by steps, and by minutes looked at now and then."""

import time

import pytest

from raynas.oneshot import TrainOptions, World
from raynas.oneshot.checkpoints.clock import CheckpointClock


def due(options: TrainOptions, num_steps: int = 12) -> list[int]:
    clock = CheckpointClock(options, World())
    found = []
    for step in range(1, num_steps + 1):
        if clock.is_due(step):
            found.append(step)
            clock.restart()
    return found


def test_every_so_many_steps() -> None:
    assert due(TrainOptions(checkpoint_every=5, checkpoint_minutes=None)) == [5, 10]
    assert due(TrainOptions(checkpoint_every=None, checkpoint_minutes=None)) == []


def test_minutes_are_looked_at_with_every_log(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def tick() -> float:
        now[0] += 7
        return now[0]

    monkeypatch.setattr(time, "monotonic", tick)  # 7 seconds at each look
    assert due(TrainOptions(checkpoint_minutes=0.2, log_every=3), 24) == [6, 12, 18, 24]
