"""Training under Ray Train: workers that each run the same trainer, checkpoints, and a new start after a failure."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.cloudpickle
import ray.train
import ray.train.torch
import torch
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig

from raynas.errors import RaynasError, TrainingError
from raynas.oneshot import (
    Log,
    Trainer,
    TrainHooks,
    TrainingJob,
    World,
    make_trainer,
    read_checkpoint,
    tensorboard_log,
    write_checkpoint,
)
from raynas.runtime.cluster import connect, ship
from raynas.runtime.progress_board import ProgressBoard, Watcher

Finish = Callable[[Trainer], dict[str, Any]]


@dataclass(frozen=True)
class TrainDriverOptions:
    """Where training runs.

    Attributes:
        num_workers: how many processes train together.
        use_gpu: one GPU each.
        folder: the run folder.
        name: of this training in it.
        max_failures: how often a failure of a worker is answered with a new start from the last checkpoint.
    """

    num_workers: int
    use_gpu: bool
    folder: Path
    name: str
    max_failures: int = 3


def train_on_ray(
    job: TrainingJob, finish: Finish, options: TrainDriverOptions, *, on_progress: Log | None = None
) -> tuple[dict[str, Any], Path]:
    """Train under Ray Train.

    Args:
        job: what to train.
        finish: called on rank 0 with the trained trainer, whose running statistics are the mean over the workers; gives
            figures as JSON.
        options: where.
        on_progress: called in this process as training goes on.

    Returns:
        What ``finish`` gave, and the folder of the last checkpoint (see ``raynas.oneshot.read_checkpoint``).

    Raises:
        TaskError: the job cannot be pickled.
        TrainingError: training failed more often than it may; or an error of raynas from a worker.
    """
    payload = ship((job, finish), "")
    connect()
    board: Any = ray.remote(num_cpus=0)(ProgressBoard).remote()
    folder = options.folder.resolve()  # workers have another working directory
    ray_folder = folder / ".ray"
    ray_folder.mkdir(parents=True, exist_ok=True)
    trainer = ray.train.torch.TorchTrainer(
        _train_worker,
        train_loop_config={"payload": payload, "board": board, "events": str(folder / "tensorboard" / options.name)},
        scaling_config=ScalingConfig(num_workers=options.num_workers, use_gpu=options.use_gpu),
        run_config=RunConfig(
            name=options.name,
            storage_path=str(ray_folder),
            failure_config=FailureConfig(max_failures=options.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )
    with Watcher(board, on_progress or _ignore):
        try:
            with _own_interrupt():
                result = trainer.fit()
        except ray.train.TrainingFailedError as error:
            raise TrainingError(f"workers failed more than {options.max_failures} times: {_last_line(error)}") from error
    failure: RaynasError | None = ray.get(board.failure.remote())
    if failure is not None:
        raise failure
    assert result.metrics is not None
    assert result.checkpoint is not None
    return result.metrics["finished"], Path(result.checkpoint.path)


def _train_worker(config: dict[str, Any]) -> None:
    """What Train runs on each worker.

    Train answers every error with a new start, but an error of the task would come again each time. So it is left on the
    board as well, and workers that find one there when they start have nothing to do.
    """
    board = config["board"]
    if ray.get(board.failure.remote()) is not None:
        return
    try:
        _train(config)
    except Exception as error:
        if not _is_lost_peer(error):
            failure = error if isinstance(error, RaynasError) else TrainingError(f"{type(error).__name__}: {error}")
            failure.add_note(traceback.format_exc())
            ray.get(board.fail.remote(failure))
        raise


def _train(config: dict[str, Any]) -> None:
    job, finish = ray.cloudpickle.loads(config["payload"])
    context = ray.train.get_context()
    world = World(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device())
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    with _log(config, world) as log:
        trainer = make_trainer(job, world, TrainHooks(log, _report))
        last = ray.train.get_checkpoint()
        if last is not None:
            with last.as_directory() as folder:
                read_checkpoint(trainer, Path(folder))
        trainer.train()
    with trainer.weights_to_use():
        finished = finish(trainer) if world.rank == 0 else {}
    _report(trainer, finished)


def _report(trainer: Trainer, finished: dict[str, Any] | None = None) -> Path:
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(trainer, Path(folder))
        ray.train.report({"finished": finished or {}}, checkpoint=Checkpoint.from_directory(folder))
        return Path(folder)


@contextmanager
def _log(config: dict[str, Any], world: World) -> Iterator[Log | None]:
    """Rank 0 writes events and tells the driver."""
    if world.rank:
        yield None
        return
    board = config["board"]
    with tensorboard_log(Path(config["events"])) as write_events:

        def log(step: int, num_steps: int, figures: dict[str, float]) -> None:
            write_events(step, num_steps, figures)
            board.put.remote(step, num_steps, figures)

        yield log


def _ignore(step: int, num_steps: int, figures: dict[str, float]) -> None:
    """For callers that do not want to know."""


@contextmanager
def _own_interrupt() -> Iterator[None]:
    """Ctrl-C is a KeyboardInterrupt here too: Train's handler aborts the run, exits, and would stay installed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, handler)


def _is_lost_peer(error: Exception) -> bool:
    """Whether a collective failed because another worker has gone."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        sign in text for sign in ("gloo", "nccl", "connection closed", "connection reset", "peer")
    )


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
