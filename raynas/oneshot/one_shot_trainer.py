"""``OneShotTrainer``: the training loop with a mutator that decides before every step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from raynas.errors import OptionError
from raynas.mutators import Mutator
from raynas.mutators.mutator import Decision
from raynas.nn import LayerChoice, find_mutables
from raynas.oneshot.batches import Batch, Batches
from raynas.oneshot.dry_run import dry_run
from raynas.oneshot.open_batches import open_batches
from raynas.oneshot.options import TrainHooks, TrainOptions
from raynas.oneshot.task import Task
from raynas.oneshot.trainer import Loss, Trainer
from raynas.oneshot.workers.active_parameters import ActiveParameters
from raynas.oneshot.workers.world import World
from raynas.space import Architecture

NUM_VALIDATED = 4


@dataclass(frozen=True)
class NoOptions:
    """Of a method that has none."""


class OneShotTrainer(Trainer):
    """Trains a supernet. A method inherits from it and says which mutator it takes.

    Args:
        model: with mutables and without a mutator.
        task, options, world, hooks: see ``Trainer``.
        method_options: of the class ``Options``; its defaults if ``None``.

    Attributes:
        mutator: bound to ``model``. On all workers it decides alike, since it draws from generators of the same seed.

    Raises:
        OptionError: the method cannot work with a mutable of the model; the message lists the keys.
    """

    mixes = False  # whether the outputs of several candidates are added up
    learns_architecture = False  # whether the mutator comes to prefer one, so that its export says something
    Options: type[Any] = NoOptions  # a frozen dataclass; a method with options of its own names another

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        options: TrainOptions,
        *,
        world: World,
        hooks: TrainHooks,
        method_options: Any = None,
    ) -> None:
        self.method_options = method_options if method_options is not None else self.Options()
        self.mutator = self.make_mutator(model, options.seed)
        self.active = ActiveParameters(model)
        dry_run(model, self.mutator, task.sample_input(), mixes=self.mixes)
        self._valid_batches: Batches | None = None
        super().__init__(model, task, options, world=world, hooks=hooks)

    def make_mutator(self, model: nn.Module, seed: int) -> Mutator:
        """The mutator that this method takes; called once, before anything else is there."""
        raise TypeError(f"{type(self).__name__} does not say which mutator it takes; define make_mutator")

    def train_step(self, batch: Batch) -> Tensor:
        self.mutator.reset()
        return super().train_step(batch)

    def train_paths(self, batch: Batch, paths: Sequence[Architecture], *, losses: Sequence[Loss] | None = None) -> Tensor:
        """One step in which several paths see the batch one after the other; their gradients are added up.

        Args:
            batch: this worker's part.
            paths: at least one.
            losses: one for each path, instead of the task's.

        Returns:
            This worker's mean loss over samples and paths, a scalar.
        """
        self.optimizer.zero_grad(set_to_none=True)
        expected = self.active.of_architectures(paths) if self.world.size > 1 else ()
        total: Tensor | None = None
        for number, path in enumerate(paths, 1):
            self.mutator.apply_architecture(path)
            own = losses[number - 1] if losses is not None else None
            loss = self.add_gradients(batch, expected=expected if number == len(paths) else None, loss=own)
            total = loss if total is None else total + loss
        self.update()
        assert total is not None
        return total / len(paths)

    def valid_batch(self) -> Batch:
        """This worker's part of a batch of validation data: the next one at each step, in a new order once all were seen."""
        if self._valid_batches is None:
            data = self.task.data("valid")
            size = min(self.task.batch_size, len(data))
            self._valid_batches = open_batches(data, size, seed=self.options.seed + 1, world=self.world)
        epoch, step = divmod(self.steps_done, self._valid_batches.steps_per_epoch)
        return self._valid_batches.step(epoch, step)

    def active_parameters(self) -> Sequence[int]:
        if self.world.size == 1:
            return ()  # nobody is waiting for any
        return self.active.of_decisions({key: decision.indices for key, decision in self.mutator.decisions.items()})

    def final_architectures(self) -> Iterable[Architecture]:
        """Which architectures validation scores; the figures are their means. Must draw from no generator of training."""
        if self.learns_architecture:
            return [self.mutator.export_architecture()]
        rng = Random(self.options.seed)
        return [self.mutator.space.sample(rng) for _ in range(NUM_VALIDATED)]

    def score_valid(self) -> dict[str, float]:
        held = self.mutator.decisions
        total: dict[str, float] = {}
        architectures = list(self.final_architectures())
        for architecture in architectures:
            self.mutator.apply_architecture(architecture)
            for name, value in super().score_valid().items():
                total[name] = total.get(name, 0.0) + value / len(architectures)
        if held:  # nothing was decided yet where training goes on from the end of an epoch
            self.mutator.apply_on_model({key: decision.tensor for key, decision in held.items()})
        return total

    def compile(self, backend: str) -> None:
        """Compile every candidate of a layer choice that holds no mutable itself, one by one, in place."""
        inner = {id(place.mutable) for place in find_mutables(self.model)}
        for place in find_mutables(self.model):
            if isinstance(place.mutable, LayerChoice):
                for candidate in place.mutable:
                    if not any(id(module) in inner for module in candidate.modules()):
                        candidate.compile(backend=backend)

    def fingerprint(self) -> dict[str, Any]:
        return {
            **super().fingerprint(),
            "method_options": {name: str(value) for name, value in asdict(self.method_options).items()},
        }

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "mutator": self.mutator.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.mutator.load_state_dict(state["mutator"])

    def shared_tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from super().shared_tensors()
        yield from ((f"mutator.{name}", parameter) for name, parameter in self.mutator.named_parameters())

    def shared_texts(self) -> dict[str, str]:
        choices = {key: decision.indices for key, decision in self.mutator.decisions.items()}
        return {"the mutator's state": state_digest(self.mutator.state_dict()), "the architecture": repr(choices)}

    def describe_step(self) -> Callable[[], str]:
        decisions = self.mutator.decisions  # as they are now; the next step has others
        return lambda: f", on the path {_indices(decisions)}"


def refuse(method: str, keys: Mapping[str, str]) -> None:
    """Refuse a model.

    Args:
        method: its name.
        keys: what the method cannot work with: key to reason.

    Raises:
        OptionError: there is one; all are listed.
    """
    if keys:
        listed = ", ".join(f"{key!r} ({reason})" for key, reason in keys.items())
        raise OptionError(f"method {method!r} cannot work with the keys {listed}; take another method, or other mutables")


def state_digest(state: Mapping[str, Any]) -> str:
    """A digest of a ``state_dict``, tensors included."""
    digest = hashlib.sha256()
    for name, value in state.items():
        entry = (
            value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes() if isinstance(value, Tensor) else repr(value)
        )
        digest.update(name.encode() + (entry if isinstance(entry, bytes) else entry.encode()))
    return digest.hexdigest()


def _indices(decisions: Mapping[str, Decision]) -> dict[str, list[int]]:
    return {key: list(decision.indices) for key, decision in decisions.items()}
