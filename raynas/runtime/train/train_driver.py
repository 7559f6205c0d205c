"""Training under Ray Train, seen from the driver: workers that each run the same trainer, and a new start after a failure."""

from __future__ import annotations

import math
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
from ray.train import FailureConfig, RunConfig, ScalingConfig

from raynas.errors import RaynasError, TrainingError
from raynas.oneshot import CheckpointStore, Log, TrainingFigures, TrainingJob
from raynas.runtime.cluster.connection import connect, on_this_machine, ship
from raynas.runtime.cluster.worker_resources import Workers, wait_for_workers
from raynas.runtime.train.network import speak_through
from raynas.runtime.train.progress_board import Watcher
from raynas.runtime.train.room_limit import RoomLimit
from raynas.runtime.train.train_board import TrainBoard
from raynas.runtime.train.train_worker import Finish, train_worker
from raynas.storage import Storage

START_SECONDS = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
START_ATTEMPTS = 4
SHUTDOWN_SECONDS = "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S"


@dataclass(frozen=True)
class TrainDriverOptions:
    """Where training runs.

    Attributes:
        num_workers: how many processes train together; ``(min, max)``: as many as the cluster has room for. Batch size and
            learning rate are those of the task whatever their number: ``Task.batch_size`` counts the samples of a step over all
            workers, so fewer workers take larger shares.
        use_gpu: one GPU each.
        folder: the run folder, on this machine: for the figures.
        storage: where the run is kept: for what workers write.
        name: of this training in it.
        max_failures: how often a failure of a worker is answered with a new start from the last checkpoint.
        wait: seconds that training waits for room for its workers, at its start and whenever they have to start again.
    """

    num_workers: int | tuple[int, int]
    use_gpu: bool
    folder: Path
    storage: Storage
    name: str
    max_failures: int = 3
    wait: float = 600.0

    @property
    def workers(self) -> Workers:
        """How many, and what each needs."""
        return Workers.of(self.num_workers, use_gpu=self.use_gpu)


class HangingTorchConfig(ray.train.torch.TorchConfig):
    """Train's own, but that a hung worker is given two seconds when its group ends, and is then killed.

    Train would wait half a minute for the process group, as the environment of its controller says, to which it hands on only
    variables that it knows; and five seconds more for the worker itself.
    """

    @property
    def backend_cls(self) -> type:
        class Backend(super().backend_cls):  # type: ignore[misc]
            def on_start(self, worker_group: Any, backend_config: Any) -> None:
                os.environ.setdefault(SHUTDOWN_SECONDS, "2")  # the controller's environment
                worker_group.execute(_choose_network)
                super().on_start(worker_group, backend_config)

            def on_shutdown(self, worker_group: Any, backend_config: Any) -> None:
                signs = worker_group.execute_async(_sign_of_life)
                _, silent = ray.wait(signs, num_returns=len(signs), timeout=2)
                for worker, sign in zip(worker_group.get_workers(), signs, strict=True):
                    if sign in silent:
                        ray.kill(worker.actor)
                if not silent:
                    super().on_shutdown(worker_group, backend_config)

        return Backend


def _choose_network() -> None:
    speak_through(ray.util.get_node_ip_address())


def _sign_of_life() -> None:
    """What a worker that can answer does when it is asked to."""


def train_on_ray(
    job: TrainingJob, finish: Finish, options: TrainDriverOptions, *, on_progress: Log | None = None
) -> tuple[dict[str, Any], Storage]:
    """Train under Ray Train, from the newest whole checkpoint in the run folder if there is one.

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
        OptionError: this Ray was started here, and its one node has no room for the workers.
        TrainingError: training failed more often than it may, or found no room; or an error of raynas from a worker.
    """
    payload = ship((job, finish), "")
    connect()
    workers = Workers.of(options.num_workers, use_gpu=options.use_gpu, train_data=job.task.train_data)
    wait_for_workers(workers, options.wait)
    store = CheckpointStore(options.storage.folder(f"checkpoints/{options.name}"))
    board: Any = ray.remote(**on_this_machine())(TrainBoard).remote(store)
    config = {"payload": payload, "board": board, "store": store}
    given_up: TrainingError | None = None
    with TrainingFigures(options.folder, options.name, on_progress) as figures, Watcher(board, figures.begin, figures):
        try:
            _fit(config, options, job.options.hang_timeout)
        except TrainingError as error:
            given_up = error
    failure: RaynasError | None = ray.get(board.failure.remote()) or given_up  # what a worker left says more
    if failure is not None:
        raise failure
    finished, checkpoint = ray.get(board.finished.remote())
    assert finished is not None
    assert checkpoint is not None
    return finished, checkpoint


def _fit(config: dict[str, Any], options: TrainDriverOptions, hang_timeout: float) -> None:
    workers = options.workers
    trainer = ray.train.torch.TorchTrainer(
        train_worker,
        train_loop_config=config,
        torch_config=HangingTorchConfig(timeout_s=math.ceil(hang_timeout)),
        scaling_config=ScalingConfig(  # type: ignore[call-arg]  # Ray's types are of its old configuration
            num_workers=(workers.minimum, workers.maximum) if workers.is_elastic else workers.maximum,  # type: ignore[arg-type]
            use_gpu=options.use_gpu,
            resources_per_worker=dict(workers.resources),
            elastic_resize_monitor_interval_s=5,
        ),
        run_config=RunConfig(
            name=f"{options.name}-{uuid.uuid4().hex[:8]}",  # of a name that it has files of, Train would go on with those
            storage_path=options.storage.folder(".ray").place,
            failure_config=FailureConfig(  # type: ignore[call-arg]
                max_failures=options.max_failures,
                controller_failure_limit=-1,  # starts that fail are bounded by time
            ),
            callbacks=[RoomLimit(workers, options.wait)],  # type: ignore[list-item]
        ),
    )
    # Fewer workers are tried when the wanted number could not be started; a node that has just died still counts for a while.
    seconds = 5 if workers.is_elastic else options.wait / START_ATTEMPTS
    try:
        with _own_interrupt(), _setting(START_SECONDS, f"{seconds:g}"):
            trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise _explain(error, options, config["board"]) from error


def _explain(error: Exception, options: TrainDriverOptions, board: Any) -> TrainingError:
    """What ended the training, in our words."""
    if isinstance(error, ray.train.ControllerError):
        failure = error.controller_failure
        if isinstance(failure, TrainingError):
            return failure
        return TrainingError(f"{options.workers} could not be started: {_last_line(failure)}")
    missing = ray.get(board.missing.remote())
    cause = f"{missing} ({_last_line(error)})" if missing else _last_line(error)
    return TrainingError(f"workers failed more than {options.max_failures} times: {cause}")


@contextmanager
def _setting(name: str, value: str) -> Iterator[None]:
    """An environment variable for this training alone, unless the user has set it."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


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


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
