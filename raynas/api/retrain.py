"""``retrain``: one architecture from fresh weights, to its final figures."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

from raynas.api.evaluators import WEIGHTS
from raynas.api.run_folder import RunFolder
from raynas.api.workers import check_workers
from raynas.errors import RegistryError
from raynas.nn import freeze, generate_search_space
from raynas.oneshot import Log, Task, Trainer, TrainHooks, TrainingJob, TrainOptions, World, make_trainer, score
from raynas.space import Architecture
from raynas.storage import Storage


@dataclass(frozen=True)
class Retrained:
    """A model that was trained from scratch.

    Attributes:
        model: plain PyTorch, on the CPU, in eval mode.
        architecture: which one.
        metrics: on the test data, on the validation data where the task has none.
        split: ``"test"`` or ``"valid"``, of which data the metrics are.
        seconds: how long it took.
    """

    model: nn.Module
    architecture: Architecture
    metrics: Mapping[str, float]
    split: str
    seconds: float


def retrain(
    task: Task,
    architecture: Mapping[str, Any],
    *,
    num_workers: int | tuple[int, int] = 0,
    use_gpu: bool = False,
    epochs: int = 20,
    seed: int = 0,
    storage_path: str | Path | None = None,
    name: str = "retrain",
    wait: float = 600.0,
    on_progress: Log | None = None,
) -> Retrained:
    """Freeze an architecture and train it from fresh weights.

    Args:
        task: the model with its data.
        architecture: of the model's space.
        num_workers: processes under Ray Train; ``(min, max)``: as many as the cluster has room for, now and later; 0 trains in
            this one, without Ray. As in ``train_supernet``, batch size and learning rate do not depend on their number.
        use_gpu: one GPU for each worker.
        epochs: passes over the training data.
        seed: of weights and data order.
        storage_path: the folder of run folders, or its URI, for checkpoints and events of training under Ray; a scratch folder
            that is removed at the end if ``None``. With workers on several machines it has to be one that all of them see.
        name: of the run folder.
        wait: seconds that training waits for room for its workers in the cluster, at its start and after a failure.
        on_progress: called with the steps done, the steps in all, and figures.

    Raises:
        ArchitectureError: the architecture does not fit the model.
        OptionError: an argument is out of its range, or a Ray that was started here has no room for the workers.
        RunExistsError: the run folder is there.
        TrainingError: training failed, or there was no room for the workers.

    Example:
        >>> import random, raynas
        >>> task, _ = raynas.load_task_file("examples/digits.py")
        >>> architecture = raynas.generate_search_space(task.model()).sample(random.Random(0))
        >>> final = raynas.retrain(task, architecture, epochs=1)
        >>> final.split, type(final.model).__name__
        ('test', 'Net')
    """
    check_workers(num_workers, wait)
    start = time.time()
    skeleton = task.model()
    chosen = Architecture.from_dict(generate_search_space(skeleton), architecture)
    job = TrainingJob(task, TrainOptions(epochs=epochs, seed=seed), architecture=chosen.to_dict())
    split = "test" if task.test_data is not None else "valid"
    if num_workers:
        from raynas.runtime import TrainDriverOptions

        with _open_folder(storage_path, name) as folder:
            where = TrainDriverOptions(num_workers, use_gpu, folder.path, folder.storage, "retrain", wait=wait)
            metrics, model = _train_on_ray(job, split, where, on_progress)
    else:
        world = World(device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        trainer = make_trainer(job, world, TrainHooks(on_progress))
        trainer.train()
        metrics, model = score(trainer.model, task, task.data(split), device=world.device), trainer.model.cpu()
    return Retrained(model.eval(), chosen, metrics, split, time.time() - start)


def load_retrained(task: Task, architecture: Mapping[str, Any], path: str | Path) -> nn.Module:
    """The plain model of one architecture with weights that were kept as safetensors.

    Raises:
        RegistryError: the file cannot be read, or its weights are of another architecture.
    """
    model = freeze(task.model(), architecture)
    try:
        load_model(model, path)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise RegistryError(f"{path} does not hold the weights of this architecture: {error}") from None
    return model.eval()


class ScoreAndKeep:
    """What a worker does with a model when it is trained."""

    def __init__(self, split: str, storage: Storage) -> None:
        self.split, self.storage = split, storage

    def __call__(self, trainer: Trainer) -> dict[str, Any]:
        task = trainer.task
        with tempfile.TemporaryDirectory(prefix="raynas-") as scratch:
            path = Path(scratch) / WEIGHTS
            save_model(trainer.model, str(path))
            self.storage.write(WEIGHTS, path.read_bytes())
        return score(trainer.model, task, task.data(self.split), device=trainer.world.device)


@contextmanager
def _open_folder(storage_path: str | Path | None, name: str) -> Iterator[RunFolder]:
    """The run folder; in a scratch folder if there is no ``storage_path``."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder.create(storage_path if storage_path is not None else scratch, name)
        with folder.kept():
            yield folder


def _train_on_ray(job: TrainingJob, split: str, where: Any, log: Log | None) -> tuple[dict[str, Any], nn.Module]:
    """Train where ``TrainDriverOptions`` say, which are no type here, since they are loaded with Ray."""
    from raynas.runtime import train_on_ray

    assert job.architecture is not None
    metrics, _ = train_on_ray(job, ScoreAndKeep(split, where.storage), where, on_progress=log)
    with where.storage.fetched(WEIGHTS) as path:
        return metrics, load_retrained(job.task, job.architecture, path)
