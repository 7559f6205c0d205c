"""Tensors over a block of bytes that belongs to someone else. The one place where they are made.

The block may be shared with every other process of the machine, and PyTorch cannot forbid a write: so parameters come
without gradient and buffers, which a forward pass in training mode would write to, are always private copies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raynas.weights.blocks import Block
from raynas.weights.layout import Shard


def view_tensors(block: Block, shard: Shard, *, copy: bool = False) -> dict[str, Tensor]:
    """The tensors of a shard by name.

    Args:
        block: the bytes of the whole block.
        shard: where it lies in the block, and each tensor in it.
        copy: whether all tensors are private copies, not only the buffers.
    """
    whole = as_tensor(block)
    tensors = {}
    for entry in shard.tensors:
        if not entry.num_bytes:
            tensors[entry.name] = torch.empty(entry.shape, dtype=entry.torch_dtype)
            continue
        start = shard.start + entry.offset
        tensor = whole[start : start + entry.num_bytes].view(entry.torch_dtype).view(entry.shape)
        tensors[entry.name] = tensor.clone() if copy or entry.is_buffer else tensor
    return tensors


def as_tensor(array: npt.NDArray[Any]) -> Tensor:
    """A tensor over an array's memory, read-only or not, without a copy. **Do not write to it.**"""
    return torch.from_numpy(np.asarray(_Writable(array)))


class _Writable:
    """An array that says it can be written to: else PyTorch warns, and warnings cannot be silenced for one thread alone."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.__array_interface__ = {**array.__array_interface__, "data": (array.__array_interface__["data"][0], False)}
        self._array = array  # stays as long as what lies over it
