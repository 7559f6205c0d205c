"""``TrainingJob``: all that a worker must know to train, wherever it runs; and how a trainer is made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch

from raynas.errors import OptionError
from raynas.nn import freeze
from raynas.oneshot.methods import METHODS
from raynas.oneshot.options import Callback, TrainHooks, TrainOptions
from raynas.oneshot.task import Task
from raynas.oneshot.trainer import Trainer
from raynas.oneshot.workers.world import World


@dataclass(frozen=True)
class TrainingJob:
    """What to train.

    Attributes:
        task: the model with its data.
        options: how long.
        method: how a supernet's weights are trained; ``None``: a single architecture.
        method_options: of the method; see its class ``Options``.
        callbacks: of the user, on every worker.
        publish: called on every worker where a version is due before the end.
        architecture: the single architecture, as plain dicts; ``None``: the supernet.
    """

    task: Task
    options: TrainOptions
    method: str | None = None
    method_options: Mapping[str, Any] = field(default_factory=dict)
    architecture: dict[str, Any] | None = None
    callbacks: tuple[Callback, ...] = ()
    publish: Callable[[Trainer], Any] | None = None

    def __post_init__(self) -> None:
        if (self.method is None) == (self.architecture is None):
            raise OptionError("a training job takes either a method or an architecture")
        if self.method is not None and self.method not in METHODS:
            raise OptionError(f"method {self.method!r} does not exist; expected one of {', '.join(METHODS)}")
        self.read_method_options()

    def read_method_options(self) -> Any:
        """The options of the method, checked; ``None`` without a method."""
        if self.method is None:
            return None
        kind = METHODS[self.method].Options
        known = [entry.name for entry in fields(kind)]
        unknown = [name for name in self.method_options if name not in known]
        if unknown:
            listed = ", ".join(known) or "no options"
            raise OptionError(f"method {self.method!r} has no option {unknown[0]!r}; it has {listed}")
        return kind(**self.method_options)


def make_trainer(job: TrainingJob, world: World, hooks: TrainHooks) -> Trainer:
    """Make the model and its trainer; equal seeds make equal weights on every worker."""
    hooks = replace(hooks, callbacks=(*hooks.callbacks, *job.callbacks), publish=job.publish)
    torch.manual_seed(job.options.seed)
    model = job.task.model()
    if job.method is not None:
        kind, own = METHODS[job.method], job.read_method_options()
        return kind(model, job.task, job.options, world=world, hooks=hooks, method_options=own)
    assert job.architecture is not None
    torch.manual_seed(job.options.seed)
    return Trainer(freeze(model, job.architecture), job.task, job.options, world=world, hooks=hooks)
