"""GDAS: Dong, Yang, "Searching for a robust neural architecture in four GPU hours", CVPR 2019."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raynas.oneshot.batches import Batch
from raynas.oneshot.methods.architecture_step import DifferentiableTrainer
from raynas.oneshot.methods.mixing_mutator import MixingMutator

HOT, COLD = 10.0, 0.1  # temperatures of the first and the last step


class GumbelMutator(MixingMutator):
    """One candidate at a time is computed, drawn with the probability of the softmax (the Gumbel-max draw of section 3.2).

    Of several inputs, those with the largest disturbed logits are taken.

    Attributes:
        temperature: of the softmax whose gradient is taken.
    """

    temperature = HOT

    def relax(self) -> dict[str, Tensor]:
        """The draw, with the gradient of the Gumbel-softmax (section 3.2): its values are 0 and 1 / ``n_chosen``."""
        weights = {}
        for key, alpha in self.logits.items():
            disturbed = torch.log_softmax(alpha, 0) + self._gumbel(alpha)
            soft = torch.softmax(disturbed / self.temperature, 0)
            number = self.space[key].n_chosen or 1
            hard = torch.zeros_like(soft).index_fill(0, disturbed.detach().topk(number).indices, 1 / number)
            weights[key] = hard + (soft - soft.detach())  # in this order: what was not drawn stays 0 to the last bit
        return weights

    def sample_search(self) -> dict[str, Tensor]:
        return {key: weight != 0 for key, weight in super().sample_search().items()}

    def _gumbel(self, like: Tensor) -> Tensor:
        tiny = torch.finfo(like.dtype).tiny
        exponential = torch.empty_like(like).exponential_(generator=self.generator).clamp(min=tiny)
        return -exponential.log()


class GdasTrainer(DifferentiableTrainer):
    """One drawn candidate of each key is computed, in both steps.

    The gradient passes straight through the draw as if it were the softmax, whose temperature falls in equal steps from 10 to
    0.1 over training (section 3.2, algorithm 1).
    """

    mixes = False  # one candidate of each key is computed at a time
    mutator: GumbelMutator

    def make_mutator(self, model: nn.Module, seed: int) -> GumbelMutator:
        return GumbelMutator(model, "gdas", seed)

    def train_step(self, batch: Batch) -> Tensor:
        self.mutator.temperature = HOT + (COLD - HOT) * self.steps_done / max(1, self.num_steps - 1)
        return super().train_step(batch)

    def search_signal(self) -> dict[str, float]:
        return {**super().search_signal(), "temperature": self.mutator.temperature}
