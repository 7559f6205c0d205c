"""``World``: the workers that train together, and what they say to each other. With one worker nothing is said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn


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

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> int:
        """Sum over all workers, in place, those gradients that exist.

        Which exist is the same on all workers, since all have run the same path; so only what took part is sent, in one
        piece for each dtype.

        Returns:
            The bytes that this worker handed to the collective.
        """
        if self.size == 1:
            return 0
        sent, by_dtype = 0, dict[torch.dtype, list[Tensor]]()
        for parameter in parameters:
            if parameter.grad is not None:
                by_dtype.setdefault(parameter.grad.dtype, []).append(parameter.grad)
        for gradients in by_dtype.values():
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
            dist.all_reduce(flat)
            sent += flat.nbytes
            for gradient, summed in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
                gradient.copy_(summed.view_as(gradient))
        return sent

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean over all workers, in a new tensor."""
        total = tensor.detach().clone()
        if self.size > 1:
            dist.all_reduce(total)
        return total / self.size
