"""What one architecture costs: parameters and floating-point operations, counted without computing anything."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from raynas.nn.freeze import transplant
from raynas.nn.generate import generate_search_space
from raynas.nn.walk import choice_places
from raynas.space import Architecture


@dataclass(frozen=True)
class Profile:
    """The cost of one architecture.

    Attributes:
        params: trainable numbers of the frozen model.
        flops: floating-point operations of one forward pass, as ``torch.utils.flop_counter`` counts them: 2 for a
            multiply-add (many papers print half of that), convolutions and matrix products only.
    """

    params: int
    flops: int


class Profiler:
    """Profiles architectures of one model, each once.

    The model is copied to the meta device, where tensors have shapes and no numbers.

    Args:
        model: a model with mutables.
        sample_input: a tensor, or a tuple of the arguments of ``forward``, with the batch dimension.
    """

    def __init__(self, model: nn.Module, sample_input: Any) -> None:
        self.space = generate_search_space(model)
        memo: dict[int, Any] = {id(p): nn.Parameter(p.to("meta"), p.requires_grad) for p in model.parameters()}
        memo |= {id(buffer): buffer.to("meta") for buffer in model.buffers()}
        self._skeleton = copy.deepcopy(model, memo).eval()  # Module.to("meta") would untie tensors that are shared
        self._places = choice_places(self._skeleton)
        inputs = sample_input if isinstance(sample_input, tuple) else (sample_input,)
        self._inputs = tuple(value.to("meta") if isinstance(value, Tensor) else value for value in inputs)
        self._known: dict[str, Profile] = {}

    def profile(self, architecture: Mapping[str, Any]) -> Profile:
        """Profile an architecture. Raises ``ArchitectureError`` if it does not fit the model."""
        chosen = Architecture.from_dict(self.space, architecture)
        if chosen.digest not in self._known:
            plain = transplant(self._skeleton, self._places, chosen, {})
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                plain(*self._inputs)
            params = sum(parameter.numel() for parameter in plain.parameters())
            self._known[chosen.digest] = Profile(params=params, flops=counter.get_total_flops())
        return self._known[chosen.digest]


def profile(model: nn.Module, architecture: Mapping[str, Any], sample_input: Any) -> Profile:
    """Parameters and FLOPs of one architecture; for many, keep a ``Profiler``.

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
        Profile(params=10, flops=16)
    """
    return Profiler(model, sample_input).profile(architecture)
