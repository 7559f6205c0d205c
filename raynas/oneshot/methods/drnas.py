"""DrNAS: Chen, Wang, Cheng, Tang, Hsieh, "DrNAS: Dirichlet neural architecture search", ICLR 2021."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Dirichlet, kl_divergence

from raynas.oneshot.methods.architecture_step import DifferentiableTrainer
from raynas.oneshot.methods.mixing_mutator import MixingMutator

ANCHOR_WEIGHT = 1e-3


class DirichletMutator(MixingMutator):
    """Mixes candidates by a draw from a Dirichlet distribution of concentration elu(alpha) + 1."""

    def concentrations(self) -> dict[str, Tensor]:
        """Of each key, with the gradient in ``alphas``; always above 0."""
        return {key: nn.functional.elu(alpha) + 1 for key, alpha in self.logits.items()}

    def relax(self) -> dict[str, Tensor]:
        """A draw, with the pathwise gradient: gamma variables, each divided by the sum of all."""
        weights = {}
        for key, concentration in self.concentrations().items():
            drawn = torch._standard_gamma(concentration, generator=self.generator)  # distributions take no generator
            drawn = drawn.clamp(min=torch.finfo(drawn.dtype).tiny)
            weights[key] = drawn / drawn.sum()
        return weights

    def probabilities(self) -> dict[str, Tensor]:
        """The mean of each distribution."""
        return {key: concentration / concentration.sum() for key, concentration in self.concentrations().items()}

    def anchor(self) -> Tensor:
        """How far the distributions are from the uniform one: the sum of KL(Dir(concentration) || Dir(1))."""
        far = [
            kl_divergence(Dirichlet(concentration), Dirichlet(torch.ones_like(concentration)))
            for concentration in self.concentrations().values()
            if len(concentration) > 1
        ]
        return torch.stack(far).sum() if far else torch.zeros(())


class DrnasTrainer(DifferentiableTrainer):
    """All candidates are computed and mixed by a draw, another one at each step (section 3 of the paper).

    The objective is the expected validation loss over draws, plus 1e-3 times the distance from the anchor Dir(1). The gradient
    is taken along the path of the draw.
    """

    mutator: DirichletMutator

    def make_mutator(self, model: nn.Module, seed: int) -> DirichletMutator:
        return DirichletMutator(model, "drnas", seed)

    def penalty(self) -> Tensor:
        cost, anchor = super().penalty(), ANCHOR_WEIGHT * self.mutator.anchor()
        return anchor if cost is None else anchor + cost
