"""What a search calls for each architecture: with weights inherited from a supernet, or trained from scratch."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_model
from torch import nn

from raynas.api.registry import WeightRegistry
from raynas.explore import Trial
from raynas.nn import Profile, Profiler
from raynas.oneshot import (
    Callback,
    Task,
    Trainer,
    TrainHooks,
    TrainingJob,
    TrainOptions,
    World,
    is_checkpoint,
    make_trainer,
    read_checkpoint,
    recalibrate,
    score,
    write_checkpoint,
)

WEIGHTS = "model.safetensors"


class Inherited:
    """Scores an architecture with the weights that a supernet has learnt; see ``inherited``."""

    def __init__(self, task: Task, registry: WeightRegistry, version: int, *, num_samples: int) -> None:
        self.task, self.registry, self.version, self.num_samples = task, registry, version, num_samples

    def setup(self) -> None:
        """Once in each process: the skeleton, the data."""
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.skeleton = self.task.model()
        self.train_data, self.valid_data = self.task.data("train"), self.task.data("valid")
        self.profiler = Profiler(self.skeleton, self.task.sample_input())

    def evaluate(self, trial: Trial) -> None:
        """Report the task's metrics on the validation data, parameters and FLOPs."""
        model = self.registry.frozen(self.skeleton, trial.architecture, version=self.version).to(self.device)
        recalibrate(model, self.train_data, device=self.device, num_samples=self.num_samples)
        cost = self.profiler.profile(trial.architecture)
        trial.report(**score(model, self.task, self.valid_data, device=self.device), params=cost.params, flops=cost.flops)


def inherited(
    task: Task, *, registry: str | WeightRegistry, version: int | None = None, recalibration_samples: int = 1024
) -> Inherited:
    """An ``evaluate`` that gives every architecture the supernet's weights.

    They are read where they lie, in the object store's memory. Batch-norm statistics are computed anew on training data,
    in copies: those of the supernet are a mixture over all paths (Guo et al., ECCV 2020, section 3.4).

    Args:
        task: the supernet's.
        registry: the registry or its name.
        version: which weights; the newest now if ``None``.
        recalibration_samples: how many training samples the statistics are computed on.

    Raises:
        UnknownVersionError: nothing was published; the message says what publishes.

    Example:
        >>> import tempfile, raynas
        >>> task, _ = raynas.load_task_file("examples/digits.py")
        >>> net = raynas.train_supernet(task, epochs=1, storage_path=tempfile.mkdtemp(), name="inherited-example")
        >>> evaluate = raynas.inherited(task, registry=net.registry)
        >>> result = raynas.search(raynas.generate_search_space(task.model()), evaluate, num_trials=2, engine="local")
        >>> sorted(result.best.metrics)
        ['accuracy', 'flops', 'loss', 'params']
    """
    opened = WeightRegistry(registry) if isinstance(registry, str) else registry
    return Inherited(task, opened, opened.newest() if version is None else version, num_samples=recalibration_samples)


class FromScratch:
    """Trains an architecture as a trial of its own; see ``from_scratch``."""

    def __init__(self, task: Task, options: TrainOptions, split: str) -> None:
        self.task, self.options, self.split = task, options, split

    def setup(self) -> None:
        """Once in each process: the skeleton, the data."""
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.profiler = Profiler(self.task.model(), self.task.sample_input())
        self.data = self.task.data(self.split)

    def evaluate(self, trial: Trial) -> None:
        """Train; report metrics, parameters and FLOPs after each epoch; keep checkpoints, and the weights at the end."""
        cost = self.profiler.profile(trial.architecture)

        trainer = make_trainer(
            self._job(trial), World(device=self.device), TrainHooks(callbacks=(_EachEpoch(self, trial, cost),))
        )
        kept = trial.load()
        if kept is not None and is_checkpoint(kept):
            read_checkpoint(trainer, kept)
        trainer.train()
        if trial.keeps_files:
            save_weights(trainer.model, trial)
        self.report(trainer, trial, cost)

    def report(self, trainer: Trainer, trial: Trial, cost: Profile) -> None:
        """Report the figures of the model as it is now."""
        figures = score(trainer.model, self.task, self.data, device=self.device)
        trial.report(**figures, params=cost.params, flops=cost.flops)

    def _job(self, trial: Trial) -> TrainingJob:
        options = self.options
        if trial.budget is not None:
            options = dataclasses.replace(options, epochs=max(1, round(trial.budget)))
        return TrainingJob(self.task, options, architecture=trial.architecture.to_dict())


class _EachEpoch(Callback):
    """Keeps a checkpoint and reports, after every epoch but the last."""

    def __init__(self, evaluate: FromScratch, trial: Trial, cost: Profile) -> None:
        self.evaluate, self.trial, self.cost = evaluate, trial, cost

    def on_epoch_end(self, trainer: Trainer) -> None:
        if trainer.epoch == trainer.options.epochs:
            return
        if self.trial.keeps_files:
            with tempfile.TemporaryDirectory() as folder:
                self.trial.save(write_checkpoint(trainer, Path(folder)))
        self.evaluate.report(trainer, self.trial, self.cost)


def save_weights(model: nn.Module, trial: Trial) -> None:
    """Keep a model's weights as safetensors among the trial's files."""
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, str(Path(folder) / WEIGHTS))
        trial.save(folder)


def from_scratch(task: Task, *, epochs: int, seed: int = 0, split: str = "valid") -> FromScratch:
    """An ``evaluate`` that trains each candidate as a trial of its own, from fresh weights, in one process.

    It reports after each epoch, so that a scheduler can stop what does badly, and where the search has a run folder it keeps
    a checkpoint each epoch: a trial that is run again, after its worker died or the search was resumed, goes on from there.

    Args:
        task: what to train.
        epochs: how long; a searcher that gives budgets, such as successive_halving, gives epochs instead.
        seed: of the weights and the order of the data.
        split: the data that the figures are of, ``"valid"`` or ``"test"``.

    Example:
        >>> import raynas
        >>> task, _ = raynas.load_task_file("examples/digits.py")
        >>> space = raynas.generate_search_space(task.model())
        >>> result = raynas.search(space, raynas.from_scratch(task, epochs=1), num_trials=2, engine="local")
        >>> result.trials.column("state").to_pylist()
        ['completed', 'completed']
    """
    return FromScratch(task, TrainOptions(epochs=epochs, seed=seed), split)
