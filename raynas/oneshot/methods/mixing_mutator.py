"""``MixingMutator``: a vector of logits for each key, by which candidates are mixed. How they learn is not here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from raynas.mutators import Mutator
from raynas.mutators.base import Forwarded
from raynas.mutators.mutator import Decision
from raynas.nn import InputChoice, LayerChoice, find_mutables, generate_search_space
from raynas.oneshot.methods.probability_figures import probability_figures
from raynas.oneshot.one_shot_trainer import refuse
from raynas.space import CHOICE, Architecture, Indices

SPREAD = 1e-3  # of the logits at the start: enough that no two candidates are equal


class MixingMutator(Mutator):
    """Mixes candidates by the softmax of logits: equation 2 of Liu et al., "DARTS: differentiable architecture search", ICLR
    2019. Inherit and override ``relax`` for other weights.

    The weights of a key add up to 1. Outputs are weighed and added up, whatever the declared reduction; only for the ``"sum"``
    of ``n_chosen`` inputs the weights are ``n_chosen`` times as large, so that as much arrives as in the final architecture.

    Args:
        model: a model with mutables and without a mutator.
        method: its name, for messages.
        seed: of the one generator that it owns.

    Attributes:
        alphas: the logits, one vector of shape (number of candidates,) for each key, in the order of the space. They are kept
            on the CPU: there are few, and they are looked at before every step.
        generator: what ``relax`` draws from.

    Raises:
        OptionError: the model has values to choose, or inputs that cannot be mixed; all keys are listed.
    """

    def __init__(self, model: nn.Module, method: str, seed: int = 0) -> None:
        refuse(method, self.unfit_keys(model))
        super().__init__(model)
        self.generator = torch.Generator().manual_seed(seed)
        double = any(parameter.dtype == torch.float64 for parameter in model.parameters())
        dtype = torch.float64 if double else torch.float32
        starts = [
            SPREAD * torch.randn(len(domain.candidates), generator=self.generator, dtype=dtype)
            for domain in self.space.values()
        ]
        self.alphas = nn.ParameterList(starts)

    def unfit_keys(self, model: nn.Module) -> dict[str, str]:
        """The keys of a model that cannot be mixed, and why not."""
        unfit = {}
        for key, domain in generate_search_space(model).items():
            if domain.kind == CHOICE:
                unfit[key] = "values cannot be mixed"
            elif not domain.n_chosen:
                unfit[key] = f"n_chosen is {domain.n_chosen}, expected at least 1"
        for place in find_mutables(model):
            choice = place.mutable
            if isinstance(choice, InputChoice) and (choice.n_chosen or 0) > 1 and choice.reduction in ("concat", "none"):
                unfit[place.key] = f"reduction {choice.reduction!r} of {choice.n_chosen} inputs, expected 'sum' or 'mean'"
        return unfit

    # Decisions

    def relax(self) -> dict[str, Tensor]:
        """The weights of an architecture step for each key, adding up to 1, with the gradient in ``alphas``."""
        return {key: torch.softmax(alpha, 0) for key, alpha in self.logits.items()}

    def apply_relaxed(self, weights: Mapping[str, Tensor]) -> None:
        """Apply what ``relax`` gave."""
        self.apply_on_model(weights)

    def sample_search(self) -> dict[str, Tensor]:
        """What weights are trained with: no gradient reaches ``alphas``."""
        with torch.no_grad():
            return self.relax()

    def sample_final(self) -> dict[str, Tensor]:
        """Masks of the most likely candidates, from parents to children, of active keys only."""
        chosen: dict[str, Indices] = {}
        for key in sorted(self.space, key=lambda key: len(self.space[key].when)):
            if self.space.is_active(key, chosen):
                order = torch.argsort(self.logits[key].detach(), descending=True, stable=True)
                chosen[key] = tuple(sorted(order[: self.space[key].n_chosen].tolist()))
        return self.architecture_masks(Architecture.from_indices(self.space, chosen))

    def _reduced(self, mutable: LayerChoice | InputChoice, decision: Decision, outputs: list[Any]) -> Forwarded:
        if not decision.weighted:
            return super()._reduced(mutable, decision, outputs)
        times = (mutable.n_chosen or 1) if isinstance(mutable, InputChoice) and mutable.reduction == "sum" else 1
        weights = (times * decision.tensor).to(outputs[0].device)  # one copy for all candidates
        total = outputs[0] * weights[decision.indices[0]]
        for output, index in zip(outputs[1:], decision.indices[1:], strict=True):
            total = total + output * weights[index]
        return [total] if mutable.reduction == "none" else total, decision.tensor != 0

    # What it has learnt

    @property
    def logits(self) -> dict[str, nn.Parameter]:
        """``alphas`` by key."""
        return dict(zip(self.space, self.alphas, strict=True))

    def probabilities(self) -> dict[str, Tensor]:
        """How likely each candidate of each key is, with the gradient in ``alphas``."""
        return {key: torch.softmax(alpha, 0) for key, alpha in self.logits.items()}

    def signal(self) -> dict[str, float]:
        """For the log: every probability, and the mean over all keys of their entropy, in nats."""
        with torch.no_grad():
            found = self.probabilities()
            entropies = [torch.special.entr(each).sum() for each in found.values()]
        return {**probability_figures(self.space, found), "entropy": float(torch.stack(entropies).mean())}

    def get_extra_state(self) -> Tensor:
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        self.generator.set_state(state)
