"""Figures of training as TensorBoard events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raynas.oneshot.options import Log


@contextmanager
def tensorboard_log(folder: Path) -> Iterator[Log]:
    """A function that writes figures of a step to event files in ``folder``, for as long as the ``with`` block runs."""
    from tensorboardX import SummaryWriter  # half a second, which the processes of workers need not spend

    with SummaryWriter(str(folder), flush_secs=10) as writer:

        def log(step: int, _num_steps: int, figures: dict[str, float]) -> None:
            for name, value in figures.items():
                writer.add_scalar(name, value, step)
            writer.flush()

        yield log
