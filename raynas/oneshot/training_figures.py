"""``TrainingFigures``: what is kept of a training's figures in the run folder, by whoever drives it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from raynas.oneshot.figure_log import FigureLog
from raynas.oneshot.options import Log
from raynas.oneshot.tensorboard import tensorboard_log


class TrainingFigures:
    """Writes figures as lines of JSON and as TensorBoard events while a ``with`` block runs. It is a ``Log``.

    Args:
        folder: the run folder.
        name: of the training in it: ``supernet.jsonl`` and ``tensorboard/supernet``.
        also: is told the same.
    """

    def __init__(self, folder: Path, name: str, also: Log | None = None) -> None:
        self._lines = FigureLog(folder / f"{name}.jsonl")
        self._events_folder, self._also = folder / "tensorboard" / name, also
        self._stack = ExitStack()

    def __enter__(self) -> TrainingFigures:
        self._stack.enter_context(self._lines)
        self._write_events = self._stack.enter_context(tensorboard_log(self._events_folder))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def begin(self, step: int) -> None:
        """Training begins, or goes on, after a step; what is there of later ones will come again."""
        self._lines.begin(step)

    def __call__(self, step: int, num_steps: int, figures: dict[str, float]) -> None:
        """Figures after a step."""
        self._write_events(step, num_steps, figures)
        self._lines(step, num_steps, figures)
        if self._also is not None:
            self._also(step, num_steps, figures)
