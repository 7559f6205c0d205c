"""``TrainBoard``: the actor between the driver of a training and its workers. What holds checkpoints is ``CheckpointStore``."""

from __future__ import annotations

import logging
from typing import Any

from raynas.oneshot import CheckpointStore, describe_failure
from raynas.runtime.train.progress_board import ProgressBoard
from raynas.storage import Storage

Part = dict[str, int] | str  # of a checkpoint: one worker's files with their sizes, or why there are none


class TrainBoard(ProgressBoard):
    """Lives as long as the driver. A checkpoint counts when all workers of the latest start have written their part.

    Args:
        store: of the checkpoints.
    """

    def __init__(self, store: CheckpointStore) -> None:
        super().__init__()
        self._store = store
        self._generation = self._num_workers = 0
        self._parts: dict[int, list[Part]] = {}
        self._alone: set[int] = set()
        self._finished: dict[str, Any] | None = None
        self._warned = False

    def begin(self, num_workers: int) -> tuple[int, Storage | None]:
        """Called by rank 0 of workers that start. Gives their generation, and the folder of the checkpoint to go on from."""
        if self._num_workers:
            missing, text = self.missing(), f"training starts again, with {num_workers} workers"
            self.note(logging.WARNING if missing else logging.INFO, f"{missing}; {text}" if missing else text)
        self._generation, self._num_workers, self._parts, self._alone = self._store.begin(), num_workers, {}, set()
        return self._generation, self._store.newest()

    def commit(self, generation: int, step: int, part: Part) -> None:
        """Called by each worker whose part of a checkpoint is on the disk, or could not be written.

        Raises:
            CheckpointError: a later start has begun.
            OSError: the checkpoint cannot be called whole.
        """
        self._store.check_turn(generation)
        parts = self._parts.setdefault(step, [])
        parts.append(part)
        if len(parts) < self._num_workers:
            return
        del self._parts[step]
        try:
            for failed in parts:
                if isinstance(failed, str):
                    raise OSError(failed)
            files = {name: size for written in parts if isinstance(written, dict) for name, size in written.items()}
            self._store.commit(generation, step, files)
        except OSError as error:
            self._store.drop(generation, step)
            if not self._warned:
                self.note(logging.WARNING, describe_failure(step, str(error)))
            self._warned = True
            raise

    def fail_start(self, generation: int, failure: Exception) -> None:
        """Leave the error that ends the training, unless later workers have taken the place of those that had it."""
        if generation in (0, self._generation):
            self.fail(failure)

    def left_alone(self, generation: int, rank: int) -> None:
        """Called by each worker that waited in vain for others."""
        if generation == self._generation:
            self._alone.add(rank)

    def missing(self) -> str:
        """For whom the workers of the latest start waited in vain, as words; ``""`` if for nobody."""
        ranks = sorted(set(range(self._num_workers)) - self._alone)
        if not self._alone or not ranks:
            return ""
        return f"the others waited in vain for rank {', '.join(map(str, ranks))}"

    def finish(self, figures: dict[str, Any]) -> None:
        """Leave what the training came to."""
        self._finished = figures

    def finished(self) -> tuple[dict[str, Any] | None, Storage | None]:
        """What the training came to, and the folder of its last checkpoint."""
        return self._finished, self._store.newest()
