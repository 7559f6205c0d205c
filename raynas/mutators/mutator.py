"""``Mutator``: decides for the whole model at once, by ``reset()``, and keeps to it until the next one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from raynas.errors import ArchitectureError, MutatorError
from raynas.mutators.base import BaseMutator, Forwarded
from raynas.nn import InputChoice, LayerChoice, ValueChoice, reduce_outputs
from raynas.space import CHOICE, INPUT_CHOICE, Architecture, Domain

Tensors = Mapping[str, Tensor]


MAX_KEPT = 10_000  # decisions


class Decision(NamedTuple):
    """What one key does in ``forward``.

    Attributes:
        tensor: as it was decided, shape (number of candidates,).
        indices: the candidates that are computed.
        weighted: whether ``tensor`` holds their weights.
        only: the one candidate that is computed as it is, by its name in ``LayerChoice.candidates``.
    """

    tensor: Tensor
    indices: tuple[int, ...]
    weighted: bool
    only: str | None


class Mutator(BaseMutator):
    """Samples a decision for every key and applies it. Inherit and define ``sample_search`` and ``sample_final``.

    A decision is a tensor of shape (number of candidates,): a BoolTensor selects, a FloatTensor weighs. A candidate with
    weight 0 is not computed.

    Args:
        model: a model with mutables and without a mutator.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self._decisions: dict[str, Decision] = {}
        self._kept: dict[tuple[str, tuple[int, ...]], Decision] = {}

    def sample_search(self) -> Tensors:
        """A decision for each key, to train with."""
        raise MutatorError(f"{type(self).__name__} cannot be reset: it does not define sample_search")

    def sample_final(self) -> Tensors:
        """A decision for each key, to end with."""
        raise MutatorError(f"{type(self).__name__} cannot export: it does not define sample_final")

    def reset(self) -> None:
        """Sample and apply; it holds until the next ``reset``."""
        self.apply_on_model(self.sample_search())

    def export(self) -> Tensors:
        """The final decision for each key; the model's current one stays as it is."""
        return self.sample_final()

    def export_architecture(self) -> Architecture:
        """The final decision as an architecture.

        Raises:
            ArchitectureError: a decision is not exactly one candidate, or not ``n_chosen`` whole inputs.
            MutatorError: ``export`` gave something else than tensors, each with a dimension.
        """
        exported = _as_mapping(self.export(), "export")
        for key, tensor in exported.items():
            if not isinstance(tensor, Tensor) or not tensor.dim():
                raise MutatorError(f"key {key!r}: export gave {tensor!r}; expected a tensor with an entry for each candidate")
            if any(value not in (0, 1) for value in tensor.tolist()):
                raise ArchitectureError(f"key {key!r}: the decision {tensor.tolist()} weighs candidates; expected whole ones")
        return Architecture.from_export(self.space, exported)

    def apply_on_model(self, tensors: Tensors) -> None:
        """Apply decisions.

        Raises:
            MutatorError: one is missing, unknown, or of the wrong size or kind; the message names the key.
        """
        for key in _as_mapping(tensors, "sample_search"):
            if key not in self.space:
                raise MutatorError(f"key {key!r} is decided, but the model has no such mutable; it has {list(self.space)}")
        decisions = {key: _read_decision(self.space[key], tensor) for key, tensor in tensors.items()}
        for key, domain in self.space.items():
            if key not in decisions and all(
                parent in decisions and not set(at).isdisjoint(decisions[parent].indices) for parent, at in domain.when.items()
            ):
                raise MutatorError(f"key {key!r} is not decided; expected a tensor of {len(domain.candidates)} entries")
        self._decisions = decisions

    def apply_architecture(self, architecture: Mapping[str, Any]) -> None:
        """Apply an architecture; any number of them, one after the other.

        Raises:
            ArchitectureError: it does not fit the model's space.
        """
        chosen = Architecture.from_dict(self.space, architecture)
        kept = self._kept  # making a mask takes as long as a small layer
        self._decisions = {choice[0]: kept.get(choice) or self._keep(*choice) for choice in chosen.indices.items()}

    def _keep(self, key: str, indices: tuple[int, ...]) -> Decision:
        if len(self._kept) >= MAX_KEPT:  # an input choice of any number has 2**n options
            self._kept.clear()
        mask = torch.zeros(len(self.space[key].candidates), dtype=torch.bool)
        mask[list(indices)] = True
        decision = self._kept[key, indices] = Decision(mask, indices, False, str(indices[0]) if len(indices) == 1 else None)
        return decision

    def architecture_masks(self, architecture: Architecture) -> dict[str, Tensor]:
        """An architecture as decisions: a BoolTensor for each active key."""
        masks = {}
        for key, indices in architecture.indices.items():
            masks[key] = torch.zeros(len(self.space[key].candidates), dtype=torch.bool)
            masks[key][list(indices)] = True
        return masks

    @property
    def decisions(self) -> Mapping[str, Decision]:
        """What is applied now, by key."""
        return MappingProxyType(self._decisions)

    def on_forward_layer_choice(self, mutable: LayerChoice, *args: Any, **kwargs: Any) -> Forwarded:
        decision = self._decisions.get(mutable.__dict__["_bound"][1]) or self._decided(mutable.key)
        if decision.only is not None and mutable.reduction != "none":  # by ``_modules``: indexing a ModuleList takes 1.5 us
            listed: Any = mutable._modules["candidates"]
            return listed._modules[decision.only](*args, **kwargs), decision.tensor
        indices, candidates = decision.indices, mutable.candidates
        outputs = [candidates[index](*args, **kwargs) for index in indices]
        return self._reduced(mutable, decision, outputs)

    def on_forward_input_choice(self, mutable: InputChoice, inputs: list[Any]) -> Forwarded:
        decision = self._decided(mutable.key)
        return self._reduced(mutable, decision, [inputs[index] for index in decision.indices])

    def on_forward_value_choice(self, mutable: ValueChoice) -> int:
        return self._decided(mutable.key).indices[0]

    def _reduced(self, mutable: LayerChoice | InputChoice, decision: Decision, outputs: list[Any]) -> Forwarded:
        weights = [decision.tensor[index] for index in decision.indices] if decision.weighted else None
        mask = decision.tensor if not decision.weighted else decision.tensor != 0
        return reduce_outputs(outputs, mutable.reduction, weights), mask

    def _decided(self, key: str | None) -> Decision:
        try:
            return self._decisions[key]  # type: ignore[index]
        except KeyError:
            raise MutatorError(f"key {key!r}: nothing is decided yet; call mutator.reset() before the forward pass") from None


def _as_mapping(tensors: Any, method: str) -> Tensors:
    if not isinstance(tensors, Mapping):
        raise MutatorError(
            f"{method} gave {type(tensors).__name__}; expected a mapping from key to tensor, one for each mutable"
        )
    return tensors


def _read_decision(domain: Domain, tensor: Tensor) -> Decision:
    n = len(domain.candidates)
    if not isinstance(tensor, Tensor) or tensor.shape != (n,):
        found = f"shape {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else repr(tensor)
        raise MutatorError(f"key {domain.key!r}: found {found}; expected a tensor of shape ({n},)")
    if tensor.dtype != torch.bool and not tensor.is_floating_point():
        raise MutatorError(f"key {domain.key!r}: found {tensor.dtype}; expected torch.bool to select or a float to weigh")
    if tensor.is_floating_point() and not tensor.isfinite().all():
        raise MutatorError(f"key {domain.key!r}: found the weights {tensor.tolist()}; expected finite numbers")
    indices = tuple(index for index, value in enumerate(tensor.tolist()) if value)
    if not indices and domain.kind != INPUT_CHOICE:
        raise MutatorError(f"key {domain.key!r}: no candidate is selected; expected at least one")
    if domain.kind == CHOICE and len(indices) > 1:
        raise MutatorError(f"key {domain.key!r}: {len(indices)} values are selected; expected one, values cannot be mixed")
    weighted = tensor.dtype != torch.bool
    return Decision(tensor, indices, weighted, str(indices[0]) if len(indices) == 1 and not weighted else None)
