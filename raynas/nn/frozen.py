"""The few plain modules that a frozen model needs where a choice did more in ``forward`` than call one candidate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from raynas.nn.reduction import Reduction, reduce_outputs


class SelectInputs(nn.Module):
    """What an input choice does once it is fixed: pick inputs and reduce them.

    Args:
        names: of all inputs, by which a mapping is read.
        indices: those that are picked.
        reduction: see ``raynas.nn.ReducingChoice``.
        return_mask: whether ``forward`` returns ``(output, mask)``.
    """

    def __init__(self, names: Sequence[str], indices: Sequence[int], *, reduction: Reduction, return_mask: bool) -> None:
        super().__init__()
        self.names, self.indices = tuple(names), tuple(indices)
        self.reduction: Reduction = reduction
        self.return_mask = return_mask

    def forward(self, inputs: Sequence[Any] | Mapping[str, Any]) -> Any:
        if isinstance(inputs, Mapping):
            inputs = [inputs[name] for name in self.names]
        output = reduce_outputs([inputs[index] for index in self.indices], self.reduction)
        return (output, fixed_mask(len(self.names), self.indices)) if self.return_mask else output

    def extra_repr(self) -> str:
        return f"{self.indices} of {len(self.names)}, reduction={self.reduction}"


class SelectedLayer(nn.Module):
    """A layer choice once it is fixed, where its output is a list or comes with a mask.

    Args:
        layer: the candidate chosen.
        index: its index among ``num_candidates``.
        num_candidates: how many there were.
        as_list: whether the output is wrapped in a list (reduction ``"none"``).
        return_mask: whether ``forward`` returns ``(output, mask)``.
    """

    def __init__(self, layer: nn.Module, index: int, num_candidates: int, *, as_list: bool, return_mask: bool) -> None:
        super().__init__()
        self.layer, self.index, self.num_candidates = layer, index, num_candidates
        self.as_list, self.return_mask = as_list, return_mask

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = self.layer(*args, **kwargs)
        output = [output] if self.as_list else output
        return (output, fixed_mask(self.num_candidates, (self.index,))) if self.return_mask else output


class Constant(nn.Module):
    """What a value of ``raynas.nn`` is once it is fixed. Called, it gives the value."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def forward(self) -> Any:
        return self.value

    def extra_repr(self) -> str:
        return repr(self.value)


class Repeated(nn.Module):
    """What a ``Repeat`` is once its depth is fixed: blocks one after the other.

    Args:
        blocks: each takes what the one before it gives, and all further arguments.
    """

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        for block in self.blocks:
            x = block(x, *args, **kwargs)
        return x


class WiredCell(nn.Module):
    """What a ``Cell`` is once it is fixed.

    Args:
        nodes: for each the numbers of the states that it reads (inputs of the cell first, then nodes), and an operator for
            each.
        merged: the numbers of the states that are concatenated along dimension 1.
    """

    def __init__(self, nodes: Sequence[tuple[Sequence[int], Sequence[nn.Module]]], merged: Sequence[int]) -> None:
        super().__init__()
        self.sources = tuple(tuple(sources) for sources, _ in nodes)
        self.nodes = nn.ModuleList(nn.ModuleList(ops) for _, ops in nodes)
        self.merged = tuple(merged)

    def forward(self, *inputs: Tensor) -> Tensor:
        states = list(inputs[0] if len(inputs) == 1 and isinstance(inputs[0], list | tuple) else inputs)
        for sources, ops in zip(self.sources, cast(Iterable[nn.ModuleList], self.nodes), strict=True):
            outputs = [op(states[source]) for op, source in zip(ops, sources, strict=True)]
            states.append(sum(outputs[1:], start=outputs[0]))
        return torch.cat([states[index] for index in self.merged], dim=1)

    def extra_repr(self) -> str:
        return f"sources={self.sources}, merged={self.merged}"


def set_mode(plain: nn.Module, training: bool) -> None:
    """Put the modules of this file in training or evaluation mode, and what they hold not: it has a mode of its own."""
    for module in plain.modules():
        if isinstance(module, SelectInputs | SelectedLayer | Constant | Repeated | WiredCell):
            module.training = training
            for part in module.children():
                for each in (part, *part.children()):
                    each.training = training if isinstance(each, nn.ModuleList) else each.training


def fixed_mask(length: int, indices: Sequence[int]) -> Tensor:
    """A BoolTensor of shape (length,) that is true at the indices."""
    return torch.tensor([index in indices for index in range(length)])
