"""``DifferentiableTrainer``: what the methods share that learn an architecture by gradients. Which gradient is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from raynas.errors import OptionError, TrainingError
from raynas.oneshot.batches import Batch
from raynas.oneshot.methods.cost_table import Cost, CostTable, make_cost_table
from raynas.oneshot.methods.mixing_mutator import MixingMutator
from raynas.oneshot.one_shot_trainer import OneShotTrainer
from raynas.oneshot.options import TrainHooks, TrainOptions
from raynas.oneshot.task import Task
from raynas.oneshot.workers.world import World


@dataclass(frozen=True)
class DifferentiableOptions:
    """Attributes:
    arch_lr, arch_weight_decay: of the Adam that trains the logits.
    warmup_epochs: at the start, in which weights alone are trained.
    cost: what the architecture may cost, one of ``"flops"`` (of one sample), ``"params"`` and ``"latency"`` (in seconds);
        ``None``: whatever it likes.
    target: the cost up to which nothing is to be paid.
    cost_weight: of relu(expected cost / target - 1), which is added to the loss of validation data.

    Raises:
        OptionError: a number is out of its range, or one of ``cost`` and ``target`` is missing.
    """

    arch_lr: float = 3e-4
    arch_weight_decay: float = 1e-3
    warmup_epochs: int = 0
    cost: Cost | None = None
    target: float | None = None
    cost_weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.arch_lr > 0:
            raise OptionError(f"arch_lr is {self.arch_lr!r}; expected a number above 0")
        for name in ("arch_weight_decay", "cost_weight"):
            if not getattr(self, name) >= 0:
                raise OptionError(f"{name} is {getattr(self, name)!r}; expected a number of at least 0")
        if type(self.warmup_epochs) is not int or self.warmup_epochs < 0:
            raise OptionError(f"warmup_epochs is {self.warmup_epochs!r}; expected an integer of at least 0")
        if self.cost is not None and self.cost not in get_args(Cost):
            raise OptionError(f"cost {self.cost!r} does not exist; expected one of {', '.join(get_args(Cost))}")
        if (self.cost is None) != (self.target is None):
            raise OptionError(f"cost is {self.cost!r} and target {self.target!r}; expected both or neither")
        if self.target is not None and not self.target > 0:
            raise OptionError(f"target is {self.target!r}; expected a number above 0")


class DifferentiableTrainer(OneShotTrainer):
    """Takes turns: a step of the logits on a batch of validation data, then one of the weights on a batch of training data.

    A method inherits from it, and says with its mutator what an architecture step mixes, or overrides ``slopes`` or
    ``surrogate``. All workers draw alike, so all take the same architecture step.

    Attributes:
        alphas: the logits, in the order of the search space.
        cost_table: ``None`` without the option ``cost``.
    """

    mixes = True
    learns_architecture = True
    Options = DifferentiableOptions
    method_options: Any
    mutator: MixingMutator

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
        super().__init__(model, task, options, world=world, hooks=hooks, method_options=method_options)
        own = self.method_options
        self.alphas: list[nn.Parameter] = list(self.mutator.parameters())
        self.architecture_optimizer = torch.optim.Adam(
            self.alphas, lr=own.arch_lr, betas=(0.5, 0.999), weight_decay=own.arch_weight_decay
        )
        self.cost_table: CostTable | None = None
        if own.cost is not None:
            self.cost_table = make_cost_table(own.cost, self.model, self.task.sample_input(), self.world)

    def train_step(self, batch: Batch) -> Tensor:
        if self.epoch >= self.method_options.warmup_epochs:
            self.architecture_step(batch)
        return super().train_step(batch)

    def architecture_step(self, batch: Batch) -> None:
        """One step of the logits, the same on all workers.

        Args:
            batch: this worker's part of the training batch that follows; validation data is asked for here.
        """
        surrogate = self.surrogate(batch)
        penalty = self.penalty()
        total = surrogate if penalty is None else surrogate + penalty
        for alpha, gradient in zip(self.alphas, torch.autograd.grad(total, self.alphas, allow_unused=True), strict=True):
            alpha.grad = torch.zeros_like(alpha) if gradient is None else gradient
        if all(bool(alpha.grad.isfinite().all()) for alpha in self.alphas if alpha.grad is not None):
            self.architecture_optimizer.step()
        elif self.options.precision != "fp16":  # there the weights' next steps bring the scale down
            raise TrainingError(
                f"the architecture's gradient is not finite in epoch {self.epoch}, step {self.step}{self.describe_step()()}; "
                "look at the loss of the validation data"
            )
        self.architecture_optimizer.zero_grad()

    def surrogate(self, batch: Batch) -> Tensor:
        """A scalar whose gradient in the logits is the method's, of the validation loss of all workers together."""
        weights = self.mutator.relax()
        leaves = {key: weight.detach().requires_grad_() for key, weight in weights.items()}
        self.mutator.apply_relaxed(leaves)
        slopes = self.slopes(list(leaves.values()), batch)
        return torch.stack([(weight * slope).sum() for weight, slope in zip(weights.values(), slopes, strict=True)]).sum()

    def slopes(self, leaves: Sequence[Tensor], batch: Batch) -> Sequence[Tensor]:
        """The gradient of the validation loss in the weights of the mix, which are applied, summed over all workers."""
        found = self.gradients(self.valid_batch(), leaves)
        self.world.sum(found)
        return found

    def gradients(self, batch: Batch, tensors: Sequence[Tensor]) -> list[Tensor]:
        """This worker's part of the gradient of the mean loss of a step, for each tensor; zeros where it has no part."""
        factor = self.loss_scale()
        totals = [torch.zeros_like(tensor) for tensor in tensors]
        for piece in batch.split(self.options.accumulate):
            found = torch.autograd.grad(self.share_of_loss(piece) * factor, tensors, allow_unused=True)
            for total, gradient in zip(totals, found, strict=True):
                if gradient is not None:
                    total.add_(gradient / factor)
        return totals

    def share_of_loss(self, piece: Batch) -> Tensor:
        """A piece's part of the mean loss of a step, as it is mixed now."""
        with self.precision.autocast():
            mean = self.task.loss(self.model(piece.inputs), piece.targets)
        return mean * piece.share

    def loss_scale(self) -> float:
        """By what a loss is multiplied, so that half precision can hold its gradients."""
        if self.options.precision != "fp16":
            return 1.0
        return float(self.precision.scale(torch.ones((), device=self.world.device)))

    def penalty(self) -> Tensor | None:
        """What is added to the validation loss, with the gradient in the logits; the same on all workers."""
        if self.cost_table is None:
            return None
        cost = self.cost_table.expected(self.mutator.probabilities())
        weighted: Tensor = self.method_options.cost_weight * torch.relu(cost / self.method_options.target - 1)
        return weighted

    def search_signal(self) -> dict[str, float]:
        figures = {**super().search_signal(), **self.mutator.signal()}
        if self.cost_table is not None:
            with torch.no_grad():
                figures["expected_cost"] = float(self.cost_table.expected(self.mutator.probabilities()))
        return figures

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "architecture_optimizer": self.architecture_optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.architecture_optimizer.load_state_dict(state["architecture_optimizer"])
