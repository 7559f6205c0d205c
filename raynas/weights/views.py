"""Tensors over a block of bytes that belongs to someone else. The one place where they are made.

The block may be shared with every other process of the machine, and PyTorch cannot forbid a write: so parameters come
without gradient and buffers, which a forward pass in training mode would write to, are always private copies.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import torch
from torch import Tensor

from raynas.weights.shards import Block, TensorEntry


def view_tensors(block: Block, entries: Iterable[TensorEntry], *, copy: bool = False) -> dict[str, Tensor]:
    """The tensors of a block by name.

    Args:
        block: the bytes.
        entries: where each tensor lies in it.
        copy: whether all tensors are private copies, not only the buffers.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # known, and said above
        whole = torch.from_numpy(block)
    tensors = {}
    for entry in entries:
        dtype: torch.dtype = getattr(torch, entry.dtype)
        num_bytes = dtype.itemsize * torch.Size(entry.shape).numel()
        tensor = whole[entry.offset : entry.offset + num_bytes].view(dtype).view(entry.shape)
        tensors[entry.name] = tensor.clone() if copy or entry.is_buffer else tensor
    return tensors
