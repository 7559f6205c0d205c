"""``Repeat``: a block several times, as often as is chosen."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

from torch import nn

from raynas.errors import ModelError
from raynas.nn.frozen import Repeated
from raynas.nn.value_choice import ValueChoice
from raynas.nn.varying import Choices, Guard, Varying, check_forward


class Repeat(Varying):
    """Runs the first ``depth`` of several blocks, one after the other. Each has its own weights and its own mutables.

    Mutables in blocks beyond the depth are inactive. With depth 0 the input is passed on.

    Args:
        block: makes block number ``i`` when called with ``i``; or a list of blocks; or one block, of which the others are
            copies (with the same weights to begin with, and the same decision for a key given by hand).
        depth: the smallest and the largest depth; or a value choice of depths, which may be used elsewhere too.
        key: of the depth; ``None``: ``<path of this module>.depth``.

    Raises:
        ModelError: the depths are no integers from 0, there are fewer blocks than the largest, or a key comes with a value
            choice.

    Example:
        >>> import torch
        >>> from raynas.nn import freeze
        >>> net = nn.Sequential(Repeat(lambda index: nn.Linear(4, 4), depth=(1, 3), key="depth"))
        >>> freeze(net, {"depth": {"_value": 2}})
        Sequential(
          (0): Repeated(
            (blocks): ModuleList(
              (0-1): 2 x Linear(in_features=4, out_features=4, bias=True)
            )
          )
        )
    """

    def __init__(
        self,
        block: Callable[[int], nn.Module] | Sequence[nn.Module] | nn.Module,
        depth: tuple[int, int] | ValueChoice,
        key: str | None = None,
    ) -> None:
        super().__init__()
        self.depth = _depth_choice(depth, key)
        most = max(self.depth.candidates)
        blocks = _make_blocks(block, most)
        if len(blocks) != most or not all(isinstance(each, nn.Module) for each in blocks):
            raise ModelError(
                f"Repeat {key or ''}: found {len(blocks)} blocks; expected {most}, the largest depth, all of them modules"
            )
        self.blocks = nn.ModuleList(blocks)

    def guards(self) -> Iterator[Guard]:
        depths = self.depth.candidates
        for number in range(len(self.blocks)):
            indices = tuple(index for index, depth in enumerate(depths) if depth > number)
            if len(indices) < len(depths):
                yield f"blocks.{number}", self.depth, indices

    def to_plain(self, choices: Choices) -> nn.Module:
        check_forward(type(self), "to_plain", "Repeated")
        depth = self.depth.evaluate(choices.decided)
        return Repeated([choices.copy(block) for block in self.blocks[:depth]])

    def forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Further arguments go to every block."""
        for block in self.blocks[: self.depth()]:
            x = block(x, *args, **kwargs)
        return x


def _depth_choice(depth: tuple[int, int] | ValueChoice, key: str | None) -> ValueChoice:
    if isinstance(depth, ValueChoice):
        if key is not None:
            raise ModelError(f"Repeat {key}: the depth is a value choice, which has a key of its own; leave key out")
        candidates = depth.candidates
    elif isinstance(depth, Sequence) and len(depth) == 2 and all(type(end) is int for end in depth):
        candidates = tuple(range(depth[0], depth[1] + 1))
    else:
        raise ModelError(f"Repeat {key or ''}: depth is {depth!r}; expected (smallest, largest) or a ValueChoice")
    if not candidates or any(type(each) is not int or each < 0 for each in candidates):
        raise ModelError(f"Repeat {key or ''}: depth is {depth!r}; expected integers from 0, the smaller first")
    return depth if isinstance(depth, ValueChoice) else ValueChoice(candidates, key=key)


def _make_blocks(block: Any, number: int) -> list[nn.Module]:
    if isinstance(block, nn.Module) and not isinstance(block, nn.ModuleList):
        return [block, *(copy.deepcopy(block) for _ in range(number - 1))][:number]
    if callable(block) and not isinstance(block, nn.Module):
        return [cast(nn.Module, block(index)) for index in range(number)]
    if not isinstance(block, Iterable):
        raise ModelError(f"Repeat: found {block!r}; expected a module, a list of modules, or what makes number i of them")
    return list(block)
