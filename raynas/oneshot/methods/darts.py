"""DARTS: Liu, Simonyan, Yang, "DARTS: differentiable architecture search", ICLR 2019."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from raynas.errors import OptionError
from raynas.oneshot.batches import Batch
from raynas.oneshot.methods.architecture_step import DifferentiableOptions, DifferentiableTrainer
from raynas.oneshot.methods.mixing_mutator import MixingMutator


@dataclass(frozen=True)
class DartsOptions(DifferentiableOptions):
    """Attributes:
    order: 1: weights are taken as they are; 2: as they would be after one more step.
    """

    order: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in (1, 2):
            raise OptionError(f"order is {self.order!r}; expected 1 or 2")


class DartsTrainer(DifferentiableTrainer):
    """All candidates are computed and mixed by the softmax of the logits (equation 2 of the paper).

    The gradient in the logits alpha is that of L_val(w - xi grad_w L_train(w, alpha), alpha) (equation 6), with xi the current
    learning rate, or 0 for order 1. For order 2 the product with second derivatives in equation 7 is exact, by backward through
    the gradient, and not the difference of equation 8; it takes about four times as long as order 1.
    """

    Options = DartsOptions
    method_options: DartsOptions

    def make_mutator(self, model: nn.Module, seed: int) -> MixingMutator:
        return MixingMutator(model, "darts", seed)

    def slopes(self, leaves: Sequence[Tensor], batch: Batch) -> Sequence[Tensor]:
        trained = [parameter for parameter in self.parameters if parameter.requires_grad]
        if self.method_options.order == 1 or not trained:
            return super().slopes(leaves, batch)
        rate = float(self.optimizer.param_groups[0]["lr"])
        start = self._random_state()
        step = self.gradients(batch, trained)
        self.world.sum(step)
        with _moved(trained, step, -rate):
            found = self.gradients(self.valid_batch(), [*leaves, *trained])
        direct, towards = found[: len(leaves)], found[len(leaves) :]
        for each in (direct, towards):  # one after the other: they may lie on two devices
            self.world.sum(each)
        later = self._random_state()
        self._restore_random_state(start)  # dropout drops what it dropped when the step was computed
        mixed = self._mixed_product(batch, leaves, trained, towards)
        self._restore_random_state(later)
        self.world.sum(mixed)
        return [one - rate * other for one, other in zip(direct, mixed, strict=True)]

    def _mixed_product(
        self, batch: Batch, leaves: Sequence[Tensor], trained: Sequence[Tensor], towards: Sequence[Tensor]
    ) -> list[Tensor]:
        """The gradient in the leaves of <grad_w L_train, towards>: this worker's part of equation 7's second term."""
        factor = self.loss_scale()
        totals = [torch.zeros_like(leaf) for leaf in leaves]
        for piece in batch.split(self.options.accumulate):
            with sdpa_kernel(SDPBackend.MATH):  # the other kernels of attention have no second derivative
                loss = self.share_of_loss(piece) * factor
            first = torch.autograd.grad(loss, trained, create_graph=True, allow_unused=True)
            products = [(one * other).sum() for one, other in zip(first, towards, strict=True) if one is not None]
            product = torch.stack(products).sum() if products else torch.zeros(())
            if not product.requires_grad:
                continue  # the weights have no part in the loss, or the mix none in their gradient
            second = torch.autograd.grad(product, leaves, allow_unused=True)
            for total, gradient in zip(totals, second, strict=True):
                if gradient is not None:
                    total.add_(gradient / factor)
        return totals

    def _random_state(self) -> tuple[Tensor, Tensor | None]:
        device = self.world.device
        return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def _restore_random_state(self, state: tuple[Tensor, Tensor | None]) -> None:
        torch.set_rng_state(state[0])
        if state[1] is not None:
            torch.cuda.set_rng_state(state[1], self.world.device)


@contextmanager
def _moved(parameters: Sequence[Tensor], by: Sequence[Tensor], times: float) -> Iterator[None]:
    """Inside, the parameters are elsewhere; afterwards they are what they were, bit for bit."""
    held = [parameter.detach().clone() for parameter in parameters]
    try:
        with torch.no_grad():
            torch._foreach_add_(list(parameters), list(by), alpha=times)
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(list(parameters), held)
