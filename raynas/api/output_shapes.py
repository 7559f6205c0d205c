"""``output_shapes``: what comes out of every mutable of a model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from raynas.errors import OptionError
from raynas.mutators import RandomMutator
from raynas.nn import ReducingChoice, find_mutables, without_numbers

_FEW, _MANY = 20, 200


def output_shapes(model: nn.Module, sample_input: Any = None, *, input_shape: Sequence[int] | None = None) -> dict[str, str]:
    """The shape of every choice's output, over the first, the last and random architectures, as text.

    A size that depends on the architecture is a range, ``(1, 16..32, 8, 8)``. Nothing is computed: tensors have no numbers.

    Args:
        model: a model with mutables; it stays as it is.
        sample_input: a tensor, or a tuple of the arguments of ``forward``, with the batch dimension.
        input_shape: instead of it, the shape of one tensor of floats.

    Returns:
        By key. Choices of values, and those that no architecture reached, are not in it.

    Raises:
        OptionError: neither or both are given.

    Example:
        >>> from raynas.nn import LayerChoice
        >>> net = nn.Sequential(LayerChoice([nn.Linear(4, 2), nn.Linear(4, 8)], key="op"))
        >>> output_shapes(net, torch.zeros(1, 4))
        {'op': '(1, 2..8)'}
    """
    if (sample_input is None) == (input_shape is None):
        raise OptionError("output_shapes needs either a sample input or its shape")
    skeleton, inputs = without_numbers(model, torch.empty(tuple(input_shape)) if input_shape else sample_input)
    seen: dict[str, set[tuple[int, ...] | None]] = {}
    mutator = RandomMutator(skeleton.eval())
    for place in find_mutables(skeleton):
        if isinstance(place.mutable, ReducingChoice):
            shapes = seen.setdefault(place.key, set())
            place.mutable.register_forward_hook(partial(_note, shapes))
    rng = Random(0)
    with torch.no_grad():
        for number in range(_MANY):
            if number > _FEW and all(seen.values()):
                break
            ends = {0: 0, 1: mutator.space.size - 1}
            chosen = mutator.space.unrank(ends[number]) if number in ends else mutator.space.sample(rng)
            mutator.apply_architecture(chosen)
            skeleton(*inputs)
    return {key: _merge(shapes) for key, shapes in seen.items() if shapes - {None}}


def _note(shapes: set[tuple[int, ...] | None], _module: nn.Module, _arguments: Any, output: Any) -> None:
    shapes.add(_shape(output))


def _shape(output: Any) -> tuple[int, ...] | None:
    while isinstance(output, tuple | list) and output:
        output = output[0]
    return tuple(output.shape) if isinstance(output, Tensor) else None


def _merge(shapes: set[tuple[int, ...] | None]) -> str:
    found = [shape for shape in shapes if shape is not None]
    if len({len(shape) for shape in found}) > 1:
        return "varies"
    sizes = [(min(sizes), max(sizes)) for sizes in zip(*found, strict=True)]
    return f"({', '.join(str(low) if low == high else f'{low}..{high}' for low, high in sizes)})"
