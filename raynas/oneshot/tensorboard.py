"""Figures of training as TensorBoard events."""

from __future__ import annotations

import weakref
from pathlib import Path

from tensorboardX import SummaryWriter

from raynas.oneshot.trainer import Log


def tensorboard_log(folder: Path) -> Log:
    """A function that writes figures of a step to event files in ``folder``."""
    writer = SummaryWriter(str(folder), flush_secs=10)

    def log(step: int, _num_steps: int, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    weakref.finalize(log, writer.close)  # ends the writer's thread with the last reference to ``log``
    return log
