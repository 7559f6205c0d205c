"""``train_supernet``: all candidates at once, data-parallel; its weights end up in the registry."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from raynas.api.registry import WeightRegistry
from raynas.api.run_folder import RunFolder
from raynas.errors import OptionError
from raynas.nn import generate_search_space
from raynas.oneshot import (
    CheckpointStore,
    CheckpointWriter,
    CommitAlone,
    Log,
    Task,
    Trainer,
    TrainHooks,
    TrainingJob,
    TrainOptions,
    World,
    make_trainer,
    read_checkpoint,
    tensorboard_log,
)


@dataclass(frozen=True)
class Supernet:
    """A supernet that was trained.

    Attributes:
        registry: the name of the registry that holds its weights.
        version: their version.
        folder: the run folder; ``weights/`` in it mirrors the registry.
        num_steps: steps of training.
        bytes_sent: what each worker handed to collectives.
        seconds: how long it took.
    """

    registry: str
    version: int
    folder: Path
    num_steps: int
    bytes_sent: int
    seconds: float


def train_supernet(
    task: Task,
    *,
    method: str = "spos",
    num_workers: int | tuple[int, int] = 0,
    use_gpu: bool = False,
    epochs: int = 50,
    storage_path: str | Path = "runs",
    name: str = "supernet",
    registry: str | None = None,
    seed: int = 0,
    resume: bool = False,
    wait: float = 600.0,
    on_progress: Log | None = None,
) -> Supernet:
    """Train a supernet and publish its weights.

    All workers train the same path at each step, each on its share of the batch; gradients are averaged over the
    parameters that took part. A failed worker is replaced, training goes on from the last checkpoint.

    Args:
        task: the model with its data.
        method: how the weights are trained; ``"spos"``.
        num_workers: processes under Ray Train; ``(min, max)``: as many as the cluster has room for, now and later; 0 trains in
            this one, without Ray. ``task.batch_size`` counts the samples of a step over all workers, so that neither it nor the
            learning rate depends on their number.
        use_gpu: one GPU for each worker.
        epochs: passes over the training data.
        storage_path: the folder of run folders.
        name: of the run folder.
        registry: of the weight registry; the run's name if ``None``.
        seed: of weights, data order and paths.
        resume: go on with a run folder that is there, from its last checkpoint.
        wait: seconds that training waits for room for its workers in the cluster.
        on_progress: called with the steps done, the steps in all, and figures.

    Raises:
        OptionError: an argument is out of its range, or a Ray that was started here has no room for the workers.
        ModelError: the model has no mutables, or they are wrong.
        TaskError: the data is too short, or the task cannot be sent to workers.
        RunExistsError: the run folder is there and ``resume`` is not set.
        TrainingError: training failed, the loss is not finite, or there was no room for the workers.
        NoRoomError: the object store is too small for the weights.

    Example:
        >>> import tempfile, raynas
        >>> task, _ = raynas.load_task_file("examples/digits.py")
        >>> trained = raynas.train_supernet(task, epochs=2, storage_path=tempfile.mkdtemp(), name="supernet-example")
        >>> trained.num_steps, trained.version
        (30, 1)
    """
    check_num_workers(num_workers)
    if not wait > 0:
        raise OptionError(f"wait is {wait!r}; expected seconds above 0")
    job = TrainingJob(task, TrainOptions(epochs=epochs, seed=seed), method=method)
    generate_search_space(task.model())  # a model that cannot be searched is refused before anything is written
    folder = RunFolder.create(storage_path, name, resume=resume)
    start = time.time()
    if num_workers:
        from raynas.runtime import TrainDriverOptions, connect, train_on_ray

        connect()
        opened = WeightRegistry(registry or name, folder.weights.resolve())
        options = TrainDriverOptions(num_workers, use_gpu, folder.path, "supernet", wait=wait)
        finished, _ = train_on_ray(job, Publish(opened), options, on_progress=on_progress)
    else:
        opened = WeightRegistry(registry or name, folder.weights.resolve())
        finished = _train_here(job, Publish(opened), folder, on_progress)
    return Supernet(opened.name, folder=folder.path, seconds=time.time() - start, **finished)


def check_num_workers(num_workers: Any) -> None:
    """Raises ``OptionError`` if it is neither a number nor (min, max)."""
    if type(num_workers) is int and num_workers >= 0:
        return
    ends = tuple(num_workers) if isinstance(num_workers, tuple | list) else ()
    if len(ends) != 2 or not all(type(end) is int for end in ends) or not 1 <= ends[0] <= ends[1]:
        raise OptionError(f"num_workers is {num_workers!r}; expected a number, 0 for the calling process, or (min, max)")


class Publish:
    """What a worker does with a supernet when it is trained. Sent to it with the registry's name."""

    def __init__(self, registry: WeightRegistry) -> None:
        self.registry = registry

    def __call__(self, trainer: Trainer) -> dict[str, Any]:
        version = self.registry.publish(trainer.model)
        return {"version": version, "num_steps": trainer.num_steps, "bytes_sent": trainer.bytes_sent}


def _train_here(job: TrainingJob, finish: Publish, folder: RunFolder, on_progress: Log | None) -> dict[str, Any]:
    store = CheckpointStore(folder.checkpoints / "supernet")
    generation = store.begin()
    writer = CheckpointWriter(partial(store.folder_of, generation), CommitAlone(store, generation))
    world = World(device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    with writer, tensorboard_log(folder.path / "tensorboard" / "supernet") as write_events:

        def log(step: int, num_steps: int, figures: dict[str, float]) -> None:
            write_events(step, num_steps, figures)
            if on_progress is not None:
                on_progress(step, num_steps, figures)

        trainer = make_trainer(job, world, TrainHooks(log, writer.save))
        last = store.newest()
        if last is not None:
            read_checkpoint(trainer, last)
        trainer.train()
        writer.save_last(trainer)
        with trainer.weights_to_use():
            return finish(trainer)
