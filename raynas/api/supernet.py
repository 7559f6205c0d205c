"""``train_supernet``: all candidates at once, data-parallel; its weights end up in the registry."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from raynas.api.registry import WeightRegistry
from raynas.api.run_folder import RunFolder
from raynas.api.workers import check_workers
from raynas.nn import generate_search_space
from raynas.oneshot import (
    Callback,
    CheckpointStore,
    CheckpointWriter,
    CommitAlone,
    Log,
    OneShotTrainer,
    TakingPart,
    Task,
    Trainer,
    TrainHooks,
    TrainingFigures,
    TrainingJob,
    TrainOptions,
    World,
    make_trainer,
    read_checkpoint,
)
from raynas.space import Architecture


@dataclass(frozen=True)
class Supernet:
    """A supernet that was trained.

    Attributes:
        registry: the name of the registry that holds its weights.
        version: their version.
        folder: the run folder, a text for a URI; ``weights/`` in it mirrors the registry.
        num_steps: steps of training.
        bytes_sent: what each worker handed to collectives.
        seconds: how long it took.
        architecture: what the method has come to prefer; ``None`` for one that trains weights only.
    """

    registry: str
    version: int
    folder: Path | str
    num_steps: int
    bytes_sent: int
    seconds: float
    architecture: Architecture | None = None


def train_supernet(
    task: Task,
    *,
    method: str = "spos",
    method_options: Mapping[str, Any] | None = None,
    num_workers: int | tuple[int, int] = 0,
    use_gpu: bool = False,
    epochs: int | None = None,
    storage_path: str | Path = "runs",
    name: str = "supernet",
    registry: str | None = None,
    seed: int | None = None,
    options: TrainOptions | None = None,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    wait: float = 600.0,
    on_progress: Log | None = None,
) -> Supernet:
    """Train a supernet and publish its weights.

    At each step every worker takes its share of the batch; gradients are averaged over the parameters that took part. A
    failed worker is replaced, training goes on from the last checkpoint.

    Args:
        task: the model with its data.
        method: how the weights are trained: ``"spos"``, or another one of ``raynas.oneshot.METHODS``.
        method_options: of the method, ``{"sampling": "per_rank"}`` for example; see its class ``Options``.
        num_workers: processes under Ray Train; ``(min, max)``: as many as the cluster has room for, now and later; 0 trains in
            this one, without Ray. ``task.batch_size`` counts the samples of a step over all workers, so that neither it nor the
            learning rate depends on their number.
        use_gpu: one GPU for each worker.
        epochs: passes over the training data; those of ``options`` if ``None``.
        storage_path: the folder of run folders, or its URI, ``s3://bucket/runs`` for example.
        name: of the run folder.
        registry: of the weight registry; the run's name if ``None``.
        seed: of weights, data order and paths; that of ``options`` if ``None``.
        options: everything else about training: precision, clipping, checkpoints, and so on.
        callbacks: called on every worker as training goes on.
        resume: go on with a run folder that is there, from its last checkpoint.
        wait: seconds that training waits for room for its workers in the cluster, at its start and after a failure.
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
    check_workers(num_workers, wait)
    given: dict[str, Any] = {name: value for name, value in (("epochs", epochs), ("seed", seed)) if value is not None}
    training = replace(options or TrainOptions(), **given)
    job = TrainingJob(task, training, method=method, method_options=method_options or {}, callbacks=tuple(callbacks))
    space = generate_search_space(task.model())  # a model that cannot be searched is refused before anything is written
    folder = RunFolder.create(storage_path, name, resume=resume)
    start = time.time()
    with folder.kept():
        if num_workers:
            from raynas.runtime import TrainDriverOptions, connect, train_on_ray

            connect()
        publish = Publish(WeightRegistry(registry or name, folder.weights))
        job = replace(job, publish=publish.on_the_way)
        if num_workers:
            where = TrainDriverOptions(num_workers, use_gpu, folder.path, folder.storage, "supernet", wait=wait)
            finished, _ = train_on_ray(job, publish, where, on_progress=on_progress)
        else:
            finished = _train_here(job, publish, folder, on_progress)
    learnt = finished.pop("architecture")
    return Supernet(
        publish.registry.name,
        folder=folder.result_place,
        seconds=time.time() - start,
        architecture=Architecture.from_dict(space, learnt) if learnt is not None else None,
        **finished,
    )


class Publish:
    """What a worker does with a supernet when it is trained. Sent to it with the registry's name."""

    def __init__(self, registry: WeightRegistry) -> None:
        self.registry = registry
        self.taking_part = TakingPart()

    def __call__(self, trainer: Trainer) -> dict[str, Any]:
        version = self.registry.publish(trainer.model)
        self.registry.flush()
        assert isinstance(trainer, OneShotTrainer)
        learnt = trainer.mutator.export_architecture().to_dict() if trainer.learns_architecture else None
        return {
            "version": version,
            "num_steps": trainer.steps_done,
            "bytes_sent": trainer.bytes_sent,
            "architecture": learnt,
        }

    def on_the_way(self, trainer: Trainer) -> None:
        """Publish before the end, while training goes on; called on every worker."""
        changed = self.taking_part.take(trainer.model)
        if trainer.world.rank == 0:
            self.registry.publish_in_background(trainer.model, changed=changed)


def _train_here(job: TrainingJob, finish: Publish, folder: RunFolder, on_progress: Log | None) -> dict[str, Any]:
    store = CheckpointStore(folder.storage.folder("checkpoints/supernet"))
    generation = store.begin()
    writer = CheckpointWriter(partial(store.folder_of, generation), CommitAlone(store, generation))
    world = World(device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    with writer, TrainingFigures(folder.path, "supernet", on_progress) as figures:
        trainer = make_trainer(job, world, TrainHooks(figures, writer.save))
        last = store.newest()
        if last is not None:
            read_checkpoint(trainer, last)
        figures.begin(trainer.steps_done)
        trainer.train()
        writer.save_last(trainer)
        with trainer.weights_to_use():
            return finish(trainer)
