"""What Ray Train runs on each worker. Checkpoints are ours: Train is told of none, and asked for none.

Of Train's own checkpoints every rank must report each one, a failed upload ends the worker, and the list of them is written in
place, so that a kill at the wrong moment costs them all.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any

import ray
import ray.cloudpickle
import ray.train
import ray.train.collective
import ray.train.torch
import torch

from raynas.errors import RaynasError, TrainingError
from raynas.oneshot import (
    CheckpointStore,
    CheckpointWriter,
    Log,
    Trainer,
    TrainHooks,
    World,
    make_trainer,
    read_checkpoint,
)
from raynas.runtime.cluster.heap import keep_freed_memory
from raynas.runtime.train.progress_board import Row
from raynas.storage import Storage

Finish = Callable[[Trainer], dict[str, Any]]


def train_worker(config: dict[str, Any]) -> None:
    """Train answers every error with a new start, but an error of the task would come again each time. So it is left on the
    board as well, and workers that find one there when they start have nothing to do.

    Args:
        config: ``payload``, the job and what to do at its end, pickled; ``board``, the handle of a ``TrainBoard``; ``store``,
            of the checkpoints.
    """
    board, context = config["board"], ray.train.get_context()
    if ray.get(board.failure.remote()) is not None:
        return
    generation, rank = 0, context.get_world_rank()
    try:
        world = World(rank, context.get_world_size(), ray.train.torch.get_device())
        begun = ray.get(board.begin.remote(world.size)) if world.rank == 0 else None
        generation, newest = ray.train.collective.broadcast_from_rank_zero(begun)
        _train(config, world, generation, newest)
    except Exception as error:
        if is_lost_peer(error):
            ray.get(board.left_alone.remote(generation, rank))
        else:
            failure = error if isinstance(error, RaynasError) else TrainingError(f"{type(error).__name__}: {error}")
            failure.add_note(traceback.format_exc())
            ray.get(board.fail_start.remote(generation, failure))
        raise


def _train(config: dict[str, Any], world: World, generation: int, newest: Storage | None) -> None:
    job, finish = ray.cloudpickle.loads(config["payload"])
    board, store = config["board"], config["store"]
    keep_freed_memory()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    with _open_writer(board, store, generation) as writer:
        trainer = make_trainer(job, world, TrainHooks(_tell(board) if world.rank == 0 else None, writer.save))
        if newest is not None:
            read_checkpoint(trainer, newest)
        if world.rank == 0:
            board.put.remote(Row(trainer.steps_done, 0, {}))
        trainer.train()
        writer.save_last(trainer)
    with trainer.weights_to_use():
        if world.rank == 0:
            ray.get(board.finish.remote(finish(trainer)))


def _open_writer(board: Any, store: CheckpointStore, generation: int) -> CheckpointWriter:
    def commit(step: int, files: dict[str, int], failure: OSError | None) -> None:
        try:
            ray.get(board.commit.remote(generation, step, files if failure is None else str(failure)))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None

    return CheckpointWriter(lambda step: store.folder_of(generation, step), commit)


def _tell(board: Any) -> Log:
    """Rank 0 tells the driver, which keeps the figures."""

    def log(step: int, num_steps: int, figures: dict[str, float]) -> None:
        board.put.remote(Row(step, num_steps, figures))

    return log


def is_lost_peer(error: Exception) -> bool:
    """Whether a collective failed because another worker has gone, or did not come in time."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        sign in text for sign in ("gloo", "nccl", "connection closed", "connection reset", "peer", "pair closure")
    )
