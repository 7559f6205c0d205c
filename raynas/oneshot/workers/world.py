"""``World``: the workers that train together, and what they say to each other. With one worker nothing is said.

Gradients are summed in ``gradients``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """One worker's place among all.

    Attributes:
        rank: from 0.
        size: how many workers there are. Above 1, ``torch.distributed`` is initialised.
        device: where this worker computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Give every worker rank 0's values, in place."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), 0)  # of a parameter too: autograd has no part in it

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Sum over all workers, in place, in one piece for each dtype: for the few numbers of an architecture's parameters."""
        if self.size == 1:
            return
        by_dtype: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            by_dtype.setdefault(tensor.dtype, []).append(tensor.detach())
        for alike in by_dtype.values():
            flat = torch.cat([tensor.reshape(-1) for tensor in alike]).to(self.device)
            dist.all_reduce(flat)
            for tensor, summed in zip(alike, torch.split(flat, [each.numel() for each in alike]), strict=True):
                tensor.copy_(summed.view_as(tensor))

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean over all workers, in a new tensor."""
        total = tensor.detach().clone()
        if self.size > 1:
            dist.all_reduce(total)
        return total / self.size

    def agree(self, flag: bool) -> bool:
        """Whether all workers say yes."""
        if self.size == 1:
            return flag
        votes = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(votes, dist.ReduceOp.MIN)
        return bool(votes)

    def any(self, flag: bool) -> bool:
        """Whether one worker says yes."""
        return not self.agree(not flag)

    def extremes(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The smallest and the largest of each value over all workers."""
        low, high = values.clone(), values.clone()
        if self.size > 1:
            dist.all_reduce(low, dist.ReduceOp.MIN)
            dist.all_reduce(high, dist.ReduceOp.MAX)
        return low, high
