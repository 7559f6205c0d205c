"""Whether all workers hold the same: asked after every epoch, answered by a few numbers for each tensor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from raynas.errors import TrainingError
from raynas.oneshot.workers.world import World

_WORDS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def check_agreement(world: World, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> None:
    """Compare what all workers hold, by checksums over the bits.

    Args:
        world: the workers; each calls this with the same names in the same order.
        tensors: that must have the same bits.
        texts: that must have the same characters.

    Raises:
        TrainingError: something differs; the message names the first.
    """
    if world.size == 1:
        return
    sums = [checksum(tensor) for tensor in tensors.values()]
    sums += [torch.tensor([_digest(text), 0], device=world.device) for text in texts.values()]
    low, high = world.extremes(torch.stack([each.to(world.device) for each in sums]))
    differing = (low != high).any(dim=1).nonzero().flatten().tolist()
    if differing:
        name = [*tensors, *texts][differing[0]]
        raise TrainingError(
            f"the {world.size} workers no longer hold the same: {len(differing)} of {len(sums)} entries differ, the first is "
            f"{name!r}; something in the model or the task depends on the worker, a random number for example"
        )


def checksum(tensor: Tensor) -> Tensor:
    """Two numbers over the bits of a tensor, int64: their sum as words, and the sum with every second one doubled."""
    if not tensor.numel():
        return torch.zeros(2, dtype=torch.int64, device=tensor.device)
    real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    words = real.detach().contiguous().view(-1)
    words = words.view(_WORDS[words.element_size()]) if words.dtype != torch.bool else words.to(torch.int8)
    total = words.sum(dtype=torch.int64)
    return torch.stack([total, total + words[::2].sum(dtype=torch.int64)])


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])
