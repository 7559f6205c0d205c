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
    if trainer.world.rank == 0:
        _write(trainer.state_dict(), folder / TRAINER)
    _write(trainer.worker_state_dict(), folder / f"worker-{trainer.world.rank}.pt")
    return folder


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


def _write(state: dict[str, Any], path: Path) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save(state, beside)
    beside.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises depends on the byte
        raise RunDamagedError(f"the checkpoint {path} cannot be read: {error}") from None
    return state
