"""What one architecture costs: parameters, operations and memory, counted without computing anything."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from raynas.nn.freeze import transplant
from raynas.nn.generate import generate_search_space
from raynas.nn.sample_input import place_inputs
from raynas.nn.walk import choice_places
from raynas.space import Architecture


@dataclass(frozen=True)
class Profile:
    """The cost of one architecture.

    Attributes:
        params: trainable numbers of the frozen model.
        flops: floating-point operations of one forward pass, as ``torch.utils.flop_counter`` counts them: 2 for a
            multiply-add (many papers print half of that), convolutions and matrix products only; attention as if written out.
        activation_bytes: what autograd keeps of one forward pass in training mode until backward, parameters excluded and
            attention as if written out; ``None`` where it was not asked for, or where batch norm cannot be trained on so small
            a sample input (it needs two values a channel).
    """

    params: int
    flops: int
    activation_bytes: int | None = None


class Profiler:
    """Profiles architectures of one model, each once.

    The model is copied to the meta device, where tensors have shapes and no numbers.

    Args:
        model: a model with mutables.
        sample_input: a tensor, or a tuple of the arguments of ``forward``, with the batch dimension.
        activations: whether to count ``activation_bytes``, which takes a second pass.
    """

    def __init__(self, model: nn.Module, sample_input: Any, *, activations: bool = False) -> None:
        self.space = generate_search_space(model)
        self._skeleton, self._inputs = without_numbers(model, sample_input)
        self._skeleton.eval()
        self._places = choice_places(self._skeleton)
        self._activations = activations
        self._known: dict[str, Profile] = {}

    def profile(self, architecture: Mapping[str, Any]) -> Profile:
        """Profile an architecture. Raises ``ArchitectureError`` if it does not fit the model."""
        chosen = Architecture.from_dict(self.space, architecture)
        if chosen.digest not in self._known:
            plain = transplant(self._skeleton, self._places, chosen, {})
            with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
                plain(*self._inputs)
            params = sum(parameter.numel() for parameter in plain.parameters() if parameter.requires_grad)
            kept = self._activation_bytes(plain.train()) if self._activations else None
            self._known[chosen.digest] = Profile(params, counter.get_total_flops(), kept)
        return self._known[chosen.digest]

    def _activation_bytes(self, plain: nn.Module) -> int | None:
        try:
            return activation_bytes(plain, self._inputs)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):  # torch's words; it has no class for it
                raise
            return None


def without_numbers(model: nn.Module, sample_input: Any) -> tuple[nn.Module, tuple[Any, ...]]:
    """A copy of a model and the arguments of ``forward`` on the meta device, where tensors have shapes and no numbers."""
    memo: dict[int, Any] = {id(p): nn.Parameter(p.to("meta"), p.requires_grad) for p in model.parameters()}
    memo |= {id(buffer): buffer.to("meta") for buffer in model.buffers()}
    skeleton: nn.Module = copy.deepcopy(model, memo)  # Module.to("meta") would untie tensors that are shared
    return skeleton, place_inputs(sample_input, "meta")


def activation_bytes(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    """The bytes that autograd keeps of one forward pass until backward; a piece of memory that is kept twice counts once."""
    excluded = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)  # held here, so that no number is given away again
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        model(*inputs)
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in excluded)


def profile(model: nn.Module, architecture: Mapping[str, Any], sample_input: Any) -> Profile:
    """Parameters, FLOPs and activation memory of one architecture; for many, keep a ``Profiler``.

    Args:
        model: a model with mutables.
        architecture: of its space.
        sample_input: a tensor, or a tuple of the arguments of ``forward``, with the batch dimension.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from raynas.nn import LayerChoice
        >>> net = LayerChoice({"small": nn.Linear(4, 2), "large": nn.Linear(4, 8)}, key="op")
        >>> profile(net, {"op": {"_value": "small"}}, torch.zeros(1, 4))
        Profile(params=10, flops=16, activation_bytes=16)
    """
    return Profiler(model, sample_input, activations=True).profile(architecture)
