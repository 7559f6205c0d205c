"""``TrainingJob``: all that a worker must know to train, wherever it runs; and how a trainer is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from raynas.errors import OptionError
from raynas.nn import freeze
from raynas.oneshot.methods import METHODS
from raynas.oneshot.task import Task
from raynas.oneshot.trainer import Trainer, TrainHooks, TrainOptions
from raynas.oneshot.world import World


@dataclass(frozen=True)
class TrainingJob:
    """What to train.

    Attributes:
        task: the model with its data.
        options: how long.
        method: how a supernet's weights are trained; ``None``: a single architecture.
        architecture: the single architecture, as plain dicts; ``None``: the supernet.
    """

    task: Task
    options: TrainOptions
    method: str | None = None
    architecture: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if (self.method is None) == (self.architecture is None):
            raise OptionError("a training job takes either a method or an architecture")
        if self.method is not None and self.method not in METHODS:
            raise OptionError(f"method {self.method!r} does not exist; expected one of {', '.join(METHODS)}")
        if self.options.epochs < 1:
            raise OptionError(f"epochs is {self.options.epochs}; expected at least 1")


def make_trainer(job: TrainingJob, world: World, hooks: TrainHooks) -> Trainer:
    """Make the model and its trainer; equal seeds make equal weights on every worker."""
    torch.manual_seed(job.options.seed)
    model = job.task.model()
    if job.method is not None:
        return METHODS[job.method](model, job.task, job.options, world=world, hooks=hooks)
    assert job.architecture is not None
    torch.manual_seed(job.options.seed)
    return Trainer(freeze(model, job.architecture), job.task, job.options, world=world, hooks=hooks)
