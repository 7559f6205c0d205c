"""Checkpoints of a trainer: a folder with one file of rank 0 and one of each worker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from raynas.errors import RunDamagedError
from raynas.oneshot.trainer import Trainer

TRAINER = "trainer.pt"


def write_checkpoint(trainer: Trainer, folder: Path) -> Path:
    """Write this worker's files; together those of all workers make a checkpoint. Each is written beside and renamed.

    Returns:
        ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, state in checkpoint_states(trainer).items():
        write_state(state, folder / name)
    return folder


def checkpoint_states(trainer: Trainer) -> dict[str, Any]:
    """What this worker's files hold, by their names. The tensors are those that training goes on with."""
    own = {f"worker-{trainer.world.rank}.pt": trainer.worker_state_dict()}
    return {TRAINER: trainer.state_dict(), **own} if trainer.world.rank == 0 else own


def write_state(state: Any, path: Path) -> int:
    """Write beside the file, have it on the disk, and rename; gives the size in bytes.

    Raises:
        OSError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    except RuntimeError as error:  # torch's archive cannot be closed either when the file beneath it fails
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    beside.replace(path)
    return path.stat().st_size


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder holds a checkpoint."""
    return (folder / TRAINER).is_file()


def read_checkpoint(trainer: Trainer, folder: Path) -> None:
    """Go on from a checkpoint: exactly, if it was made by as many workers; else each takes over the part of one of them.

    Raises:
        RunDamagedError: a file is missing or cannot be read.
        CheckpointError: it was made by another training.
    """
    state = _read(folder / TRAINER)
    trainer.load_state_dict(state)
    size, rank = state["world_size"], trainer.world.rank
    own = _read(folder / f"worker-{rank % size}.pt")
    trainer.load_worker_state_dict(own, same_world=size == trainer.world.size)


def _read(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises depends on the byte
        raise RunDamagedError(f"the checkpoint {path} cannot be read: {error}") from None
    return state
