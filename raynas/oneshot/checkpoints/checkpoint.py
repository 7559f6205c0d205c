"""Checkpoints of a trainer: a folder with one file of rank 0 and one of each worker."""

from __future__ import annotations

from typing import Any

import torch

from raynas.errors import RunDamagedError
from raynas.oneshot.trainer import Trainer
from raynas.storage import Storage

TRAINER = "trainer.pt"


def write_checkpoint(trainer: Trainer, folder: Storage) -> None:
    """Write this worker's files, each whole; together those of all workers make a checkpoint."""
    for name, state in checkpoint_states(trainer).items():
        write_state(state, folder, name)


def checkpoint_states(trainer: Trainer) -> dict[str, Any]:
    """What this worker's files hold, by their names. The tensors are those that training goes on with."""
    own = {f"worker-{trainer.world.rank}.pt": trainer.worker_state_dict()}
    return {TRAINER: trainer.state_dict(), **own} if trainer.world.rank == 0 else own


def write_state(state: Any, folder: Storage, name: str) -> int:
    """Write a file whole, and have it on the disk; gives its size in bytes.

    Raises:
        OSError: it cannot be written.
    """
    try:
        return folder.write_durably(name, lambda file: torch.save(state, file))
    except RuntimeError as error:  # torch's archive cannot be closed either when the file beneath it fails
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def is_checkpoint(folder: Storage) -> bool:
    """Whether a folder holds a checkpoint."""
    return folder.exists(TRAINER)


def read_checkpoint(trainer: Trainer, folder: Storage) -> None:
    """Go on from a checkpoint: exactly, if it was made by as many workers; else each takes over the part of one of them.

    Raises:
        RunDamagedError: a file is missing or cannot be read.
        CheckpointError: it was made by another training.
    """
    state = _read(folder, TRAINER)
    trainer.load_state_dict(state)
    size, rank = state["world_size"], trainer.world.rank
    own = _read(folder, f"worker-{rank % size}.pt")
    trainer.load_worker_state_dict(own, same_world=size == trainer.world.size)


def _read(folder: Storage, name: str) -> dict[str, Any]:
    try:
        with folder.fetched(name) as path:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises depends on the byte
        raise RunDamagedError(f"the checkpoint {folder.path(name)} cannot be read: {error}") from None
    return state
