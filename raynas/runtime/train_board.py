"""``TrainBoard``: the actor between the driver of a training and its workers. What holds checkpoints is ``CheckpointStore``."""

from __future__ import annotations

import logging
from typing import Any

from raynas.oneshot import CheckpointStore
from raynas.runtime.progress_board import ProgressBoard

LEVELS = (logging.INFO, logging.WARNING)


class TrainBoard(ProgressBoard):
    """Lives as long as the driver. A checkpoint counts when all workers of the latest start have written their part.

    Args:
        store: of the checkpoints.
    """

    def __init__(self, store: CheckpointStore) -> None:
        super().__init__()
        self._store = store
        self._generation = self._num_workers = 0
        self._parts: dict[int, list[dict[str, int] | None]] = {}
        self._finished: dict[str, Any] | None = None
        self._notes: list[tuple[int, str]] = []

    def begin(self, num_workers: int) -> tuple[int, str | None]:
        """Called by rank 0 of workers that start. Gives their generation, and the folder of the checkpoint to go on from."""
        if self._num_workers:
            self.note(logging.INFO, f"training goes on with {num_workers} workers, after a failure or a change of the cluster")
        self._generation, self._num_workers, self._parts = self._store.begin(), num_workers, {}
        newest = self._store.newest()
        return self._generation, str(newest) if newest is not None else None

    def commit(self, generation: int, step: int, files: dict[str, int] | None) -> None:
        """Called by each worker whose part of a checkpoint is on the disk, or could not be written.

        Args:
            generation: of the worker.
            step: of training.
            files: names and sizes; ``None``: could not be written.

        Raises:
            CheckpointError: a later start has begun.
            OSError: the checkpoint cannot be called whole.
        """
        parts = self._parts.setdefault(step, [])
        parts.append(files)
        if generation != self._generation or len(parts) < self._num_workers:
            if generation != self._generation:
                self._store.commit(generation, step, {})  # is refused
            return
        del self._parts[step]
        whole = {name: size for part in parts if part is not None for name, size in part.items()}
        if None in parts:
            self._store.drop(generation, step)
            return
        try:
            self._store.commit(generation, step, whole)
        except OSError:
            self._store.drop(generation, step)
            raise

    def note(self, level: int, text: str) -> None:
        """Leave a line for the driver's log."""
        self._notes.append((level, text))

    def take_notes(self) -> list[tuple[int, str]]:
        """The lines since this was last called."""
        notes, self._notes = self._notes, []
        return notes

    def finish(self, figures: dict[str, Any]) -> None:
        """Leave what the training came to."""
        self._finished = figures

    def finished(self) -> tuple[dict[str, Any] | None, str | None]:
        """What the training came to, and the folder of its last checkpoint."""
        newest = self._store.newest()
        return self._finished, str(newest) if newest is not None else None
