"""What a search calls for each architecture: with weights inherited from a supernet, or trained from scratch."""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import save_model
from torch import nn

from raynas.api.registry import WeightRegistry
from raynas.errors import OptionError
from raynas.explore import Trial
from raynas.nn import Profile, Profiler
from raynas.oneshot import (
    Callback,
    CollatedData,
    InPrecision,
    Precision,
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
from raynas.storage import Storage
from raynas.weights import Lease

WEIGHTS = "model.safetensors"


class Inherited:
    """Scores an architecture with the weights that a supernet has learnt; see ``inherited``."""

    engine_with_ray = "pool"  # which engine "auto" takes: as trials of their own, such evaluations would mostly wait

    def __init__(
        self, task: Task, registry: WeightRegistry, version: int, *, num_samples: int, precision: Precision = "float32"
    ) -> None:
        self.task, self.registry, self.version = task, registry, version
        self.num_samples, self.precision = num_samples, precision
        self._lease: Lease | None = registry.lease(version)  # while this object lives, here and where it is set up

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_lease": None}

    def to_workers(self) -> Inherited:
        """The same with the samples that it needs put together, and no others: what goes to other processes."""
        valid: Any = self._collect("valid", None) or self.task.valid_data
        train: Any = (self._collect("train", self.num_samples) or self.task.train_data) if self.num_samples else valid
        task = dataclasses.replace(self.task, train_data=train, valid_data=valid, test_data=None)
        return Inherited(task, self.registry, self.version, num_samples=self.num_samples, precision=self.precision)

    def home(self) -> str | None:
        """The machine near which it is best set up: the one with the weights."""
        return self.registry.home()

    def setup(self) -> None:
        """Once in each process: the skeleton, the data."""
        self._lease = self._lease or self.registry.lease(self.version)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.skeleton = self.task.model()
        self.train_data = _collected(self.task.data("train"), self.num_samples) if self.num_samples else None
        self.valid_data = _collected(self.task.data("valid"), None)
        self.profiler = Profiler(self.skeleton, self.task.sample_input())

    def evaluate(self, trial: Trial) -> None:
        """Report the task's metrics on the validation data, parameters and FLOPs."""
        model = self.registry.frozen(self.skeleton, trial.architecture, version=self.version).to(self.device)
        if self.precision != "float32":
            model = InPrecision(model, self.precision, self.device)
        if self.train_data is not None:
            recalibrate(model, self.train_data, device=self.device, num_samples=self.num_samples)
        cost = self.profiler.profile(trial.architecture)
        trial.report(**score(model, self.task, self.valid_data, device=self.device), params=cost.params, flops=cost.flops)

    def _collect(self, split: str, num_samples: int | None) -> CollatedData | None:
        """A split's samples, ``None`` where they cannot be put together, or not here: then every process opens its own."""
        try:
            return CollatedData.collect(self.task.data(split), num_samples)
        except Exception as error:  # whatever a user's function raises; where it is needed, it will say so again
            found = f"{type(error).__name__}: {error}"
            logging.getLogger(__name__).warning("the %s data is opened by each evaluator, not here: %s", split, found)
            return None


def _collected(data: Any, num_samples: int | None) -> Any:
    """The samples put together where that can be done, which is done once, not for each architecture; else the data."""
    together = CollatedData.collect(data, num_samples)
    return data if together is None else together


def inherited(
    task: Task,
    *,
    registry: str | WeightRegistry,
    version: int | None = None,
    recalibration_samples: int = 1024,
    recalibration_data: Any = None,
    precision: Precision = "float32",
) -> Inherited:
    """An ``evaluate`` that gives every architecture the supernet's weights.

    They are read where they lie, in the object store's memory. Batch-norm statistics are computed anew on training data,
    in copies: those of the supernet are a mixture over all paths (Guo et al., ECCV 2020, section 3.4).

    The validation data, and the samples for these statistics, are read once and kept as they then are, if they are tensors and
    numbers of up to 1 GiB. With Ray this process reads them, and evaluators share one copy on each machine. Where that cannot
    be done each evaluator reads the task's data itself.

    Args:
        task: the supernet's.
        registry: the registry or its name.
        version: which weights; the newest now if ``None``.
        recalibration_samples: how many samples the statistics are computed on, the first ones, in steps of up to 256; 0: the
            supernet's statistics stay.
        recalibration_data: which samples, as data or a function that loads it; ``None``: the task's training data.
        precision: of the forward pass, as in ``TrainOptions``: ``"float32"`` as the weights are, or under autocast ``"bf16"``
            or ``"fp16"``. Metrics are computed in ``float32``.

    Raises:
        UnknownVersionError: nothing was published; the message says what publishes.
        OptionError: an option is out of its range.
        TaskError: ``recalibration_data`` is no data.

    Example:
        >>> import tempfile, raynas
        >>> task, _ = raynas.load_task_file("examples/digits.py")
        >>> net = raynas.train_supernet(task, epochs=1, storage_path=tempfile.mkdtemp(), name="inherited-example")
        >>> evaluate = raynas.inherited(task, registry=net.registry)
        >>> result = raynas.search(raynas.generate_search_space(task.model()), evaluate, num_trials=2, engine="local")
        >>> sorted(result.best.metrics)
        ['accuracy', 'flops', 'loss', 'params']
    """
    if type(recalibration_samples) is not int or recalibration_samples < 0:
        raise OptionError(f"recalibration_samples is {recalibration_samples!r}; expected an integer of at least 0")
    if precision not in get_args(Precision):
        raise OptionError(f"precision {precision!r} does not exist; expected one of {', '.join(get_args(Precision))}")
    if recalibration_data is not None:
        task = dataclasses.replace(task, train_data=recalibration_data)
    opened = WeightRegistry(registry) if isinstance(registry, str) else registry
    version = opened.newest() if version is None else version
    return Inherited(task, opened, version, num_samples=recalibration_samples, precision=precision)


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
        if kept is not None and is_checkpoint(Storage(kept)):
            read_checkpoint(trainer, Storage(kept))
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
                write_checkpoint(trainer, Storage(folder))
                self.trial.save(folder)
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
