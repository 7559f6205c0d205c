"""``OneShotTrainer``: the training loop with a mutator that decides before every step."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from raynas.mutators import Mutator
from raynas.oneshot.task import Task
from raynas.oneshot.trainer import Trainer, TrainHooks, TrainOptions
from raynas.oneshot.world import World


class OneShotTrainer(Trainer):
    """Trains a supernet. A method inherits from it and says which mutator it takes.

    Args:
        model: with mutables and without a mutator.
        task, options, world, hooks: see ``Trainer``.

    Attributes:
        mutator: bound to ``model``. On all workers it decides alike, since it draws from generators of the same seed.
    """

    def __init__(self, model: nn.Module, task: Task, options: TrainOptions, *, world: World, hooks: TrainHooks) -> None:
        self.mutator = self.make_mutator(model, options.seed)
        super().__init__(model, task, options, world=world, hooks=hooks)

    def make_mutator(self, model: nn.Module, seed: int) -> Mutator:
        """The mutator that this method takes; called once."""
        raise TypeError(f"{type(self).__name__} does not say which mutator it takes; define make_mutator")

    def train_step(self, inputs: Any, targets: Any, share: float) -> Tensor:
        self.mutator.reset()
        return super().train_step(inputs, targets, share)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "mutator": self.mutator.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.mutator.load_state_dict(state["mutator"])

    def describe_step(self) -> str:
        choices = {key: list(decision.indices) for key, decision in self.mutator.decisions.items()}
        return f", on the path {choices}"
