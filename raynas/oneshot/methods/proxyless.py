"""ProxylessNAS: Cai, Zhu, Han, "ProxylessNAS: direct neural architecture search on target task and hardware", ICLR 2019."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from raynas.errors import OptionError
from raynas.mutators.mutator import Decision
from raynas.nn import generate_search_space
from raynas.oneshot.batches import Batch
from raynas.oneshot.methods.architecture_step import DifferentiableOptions, DifferentiableTrainer
from raynas.oneshot.methods.mixing_mutator import MixingMutator
from raynas.space import Indices

BASELINE_DECAY = 0.9


@dataclass(frozen=True)
class ProxylessOptions(DifferentiableOptions):
    """Attributes:
    gradient: ``"binary"``: through binary gates, of which two paths are computed; ``"reinforce"``: of the probability of one
        path, times its loss, for losses without a derivative.
    """

    gradient: Literal["binary", "reinforce"] = "binary"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gradient not in ("binary", "reinforce"):
            raise OptionError(f"gradient {self.gradient!r} does not exist; expected 'binary' or 'reinforce'")


class GateMutator(MixingMutator):
    """One candidate at a time is computed, drawn with the probability of the softmax (equation 2).

    Attributes:
        pairs: for each key the two candidates of the last architecture step, of which at least one was open.
        baseline: mean of the losses that ``"reinforce"`` has seen; not a number before the first.
    """

    baseline: Tensor

    def __init__(self, model: nn.Module, method: str, seed: int = 0) -> None:
        super().__init__(model, method, seed)
        self.pairs: dict[str, Indices] = {}
        self.register_buffer("baseline", torch.tensor(torch.nan, dtype=torch.float64))

    def unfit_keys(self, model: nn.Module) -> dict[str, str]:
        numbers = {key: domain.n_chosen or 0 for key, domain in generate_search_space(model).items()}
        several = {key: f"n_chosen is {number}, expected 1: one gate is open" for key, number in numbers.items() if number > 1}
        return super().unfit_keys(model) | several

    def relax(self) -> dict[str, Tensor]:
        """Two candidates for each key, and an open gate for one of them: equation 3, with the gradient of equation 4.

        Both draws go by the softmax; the gate's probabilities are those of the two alone (section 3.2.1).
        """
        weights = {}
        for key, alpha in self.logits.items():
            both = min(2, len(alpha))
            pair = torch.multinomial(torch.softmax(alpha.detach(), 0), both, generator=self.generator)
            soft = torch.softmax(alpha[pair], 0)
            gate = torch.zeros_like(soft).index_fill(0, torch.multinomial(soft.detach(), 1, generator=self.generator), 1)
            weights[key] = torch.zeros_like(alpha).index_put((pair,), gate + (soft - soft.detach()))
            self.pairs[key] = tuple(sorted(pair.tolist()))
        return weights

    def apply_relaxed(self, weights: Mapping[str, Tensor]) -> None:
        """Both candidates are computed, since a closed gate has a gradient too."""
        self._decisions = {key: Decision(weight, self.pairs[key], True, None) for key, weight in weights.items()}

    def sample_search(self) -> dict[str, Tensor]:
        masks = {}
        for key, alpha in self.logits.items():
            drawn = torch.multinomial(torch.softmax(alpha.detach(), 0), 1, generator=self.generator)
            masks[key] = torch.zeros(len(alpha), dtype=torch.bool).index_fill(0, drawn, True)
        return masks

    def log_probability(self) -> Tensor:
        """Of the path that is applied: the sum over its active keys, with the gradient in ``alphas``."""
        chosen = {key: decision.indices for key, decision in self.decisions.items()}
        terms = [
            torch.log_softmax(alpha, 0)[chosen[key][0]]
            for key, alpha in self.logits.items()
            if self.space.is_active(key, chosen)
        ]
        return torch.stack(terms).sum()

    def keep_others(self, before: Mapping[str, Tensor]) -> None:
        """Shift the two logits of each key so that all other candidates are as likely as ``before`` (section 3.2.1)."""
        with torch.no_grad():
            for key, alpha in self.logits.items():
                pair, old = list(self.pairs[key]), before[key]
                moved = alpha[pair]
                alpha.copy_(old)  # momentum may have moved others too
                alpha[pair] = moved + (old[pair].logsumexp(0) - moved.logsumexp(0))


class ProxylessTrainer(DifferentiableTrainer):
    """Weights are trained on one drawn path at a time.

    With ``gradient="binary"`` an architecture step computes two candidates of each key (equations 3 and 4); with
    ``"reinforce"`` one path, whose loss is compared with the mean of those before (section 3.3.2). The option
    ``cost="latency"`` adds the expected latency (equations 5 and 6), here by how far it exceeds the target.
    """

    Options = ProxylessOptions
    method_options: ProxylessOptions
    mutator: GateMutator

    def make_mutator(self, model: nn.Module, seed: int) -> GateMutator:
        return GateMutator(model, "proxyless", seed)

    def architecture_step(self, batch: Batch) -> None:
        if self.method_options.gradient == "reinforce":
            super().architecture_step(batch)
            return
        before = {key: alpha.detach().clone() for key, alpha in self.mutator.logits.items()}
        super().architecture_step(batch)
        self.mutator.keep_others(before)

    def surrogate(self, batch: Batch) -> Tensor:
        if self.method_options.gradient == "binary":
            return super().surrogate(batch)
        self.mutator.reset()
        loss, baseline = self._valid_loss(), self.mutator.baseline
        if baseline.isnan():
            baseline.copy_(loss)
        advantage = (loss - baseline).item()
        if loss.isfinite():
            baseline.lerp_(loss, 1 - BASELINE_DECAY)
        return advantage * self.mutator.log_probability()

    def search_signal(self) -> dict[str, float]:
        figures = super().search_signal()
        if not self.mutator.baseline.isnan():
            figures["baseline"] = float(self.mutator.baseline)
        return figures

    def _valid_loss(self) -> Tensor:
        """The mean validation loss over all workers, on the CPU."""
        with torch.no_grad():
            parts = [self.share_of_loss(piece).double() for piece in self.valid_batch().split(self.options.accumulate)]
        total = torch.stack(parts).sum().cpu()
        self.world.sum([total])
        return total
