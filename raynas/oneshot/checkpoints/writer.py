"""``CheckpointWriter``: checkpoints written by a thread of their own, while training goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from raynas.errors import TrainingError
from raynas.oneshot.checkpoints.checkpoint import checkpoint_states, write_state
from raynas.oneshot.checkpoints.snapshot import Snapshot
from raynas.oneshot.checkpoints.store import CheckpointStore
from raynas.oneshot.trainer import Trainer
from raynas.storage import Storage


class Commit(Protocol):
    """Says of one worker's files of a step that they are on the disk, or why they are not."""

    def __call__(self, step: int, files: dict[str, int], failure: OSError | None) -> None:
        """Raises ``CheckpointError`` if another start of the training has taken over, ``OSError`` if it cannot be kept."""


class CheckpointWriter:
    """Writes this worker's part of checkpoints. Training waits for the snapshot, and for the last checkpoint if that is still
    being written.

    Where one cannot be written, because the disk is full for example, training goes on, and the one before stays.

    Args:
        folder_of: gives the folder of the checkpoint of a step.
        commit: called in the thread when the files are written, or could not be.
    """

    def __init__(self, folder_of: Callable[[int], Storage], commit: Commit) -> None:
        self._folder_of, self._commit = folder_of, commit
        self._snapshot = Snapshot()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="raynas-checkpoint")
        self._pending: Future[None] | None = None
        self._failure: OSError | None = None

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown()

    def save(self, trainer: Trainer) -> str:
        """Begin a checkpoint of what the trainer is now; gives the place of its folder."""
        self._wait()
        states, step = self._snapshot.take(checkpoint_states(trainer)), trainer.steps_done
        folder = self._folder_of(step)
        self._pending = self._pool.submit(self._write, states, step, folder)
        return folder.place

    def save_last(self, trainer: Trainer) -> str:
        """Take a checkpoint and wait until it is written. All workers have to.

        Raises:
            TrainingError: it could not be written; on all workers.
        """
        place = self.save(trainer)
        self._wait()
        if trainer.world.any(self._failure is not None):
            cause = self._failure or "another worker could not write its part"
            raise TrainingError(f"the last checkpoint, {place}, could not be written: {cause}; training itself is done")
        return place

    def _wait(self) -> None:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def _write(self, states: dict[str, Any], step: int, folder: Storage) -> None:
        files: dict[str, int] = {}
        self._failure = None
        try:
            for name, state in states.items():
                files[name] = write_state(state, folder, name)
        except OSError as error:
            self._failure = error
        try:
            self._commit(step, files, self._failure)
        except OSError as error:
            self._failure = error


class CommitAlone:
    """The ``commit`` of a worker that trains alone. The first checkpoint that cannot be kept is named in a warning.

    Args:
        store: of the checkpoints.
        generation: of this start.
    """

    def __init__(self, store: CheckpointStore, generation: int) -> None:
        self._store, self._generation, self._warned = store, generation, False

    def __call__(self, step: int, files: dict[str, int], failure: OSError | None) -> None:
        try:
            if failure is not None:
                raise failure
            self._store.commit(self._generation, step, files)
        except OSError as error:
            self._store.drop(self._generation, step)
            if not self._warned:
                logging.getLogger(__name__).warning("%s", describe_failure(step, str(error)))
            self._warned = True
            raise


def describe_failure(step: int, cause: str) -> str:
    """What is said of a checkpoint that could not be written."""
    return f"the checkpoint of step {step} cannot be written: {cause}; training goes on, and the checkpoint before it stays"
