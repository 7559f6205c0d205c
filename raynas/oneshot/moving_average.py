"""Averages that are used in place of what is trained: of the weights over time, of running statistics over workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from raynas.oneshot.workers.world import World


class MovingAverage:
    """One tensor for each trained parameter; there is no second model.

    After ``n`` updates the decay is at most ``(1 + n) / (10 + n)``, so that the first weights are soon forgotten.

    Args:
        model: whose weights are averaged, from what they are now.
        decay: of one step.

    Attributes:
        num_updates: how often ``update`` was called.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.num_updates = decay, 0
        self._live = {name: p for name, p in model.named_parameters() if p.requires_grad and p.is_floating_point()}
        self._average = {name: parameter.detach().clone() for name, parameter in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now: average = decay * average + (1 - decay) * weights."""
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        torch._foreach_lerp_(list(self._average.values()), [p.detach() for p in self._live.values()], 1 - decay)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Inside, the model's parameters hold the averages; the same parameters, so that nothing needs to be told."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state_dict(self) -> dict[str, Tensor | int]:
        """The averages by name, and the number of updates."""
        return {**self._average, "num_updates": self.num_updates}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Go on with averages kept."""
        self.num_updates = int(state["num_updates"])
        for name, tensor in self._average.items():
            tensor.copy_(state[name])  # type: ignore[arg-type]

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self._live.items():
            kept = parameter.detach().clone()
            parameter.copy_(self._average[name])
            self._average[name].copy_(kept)


@contextmanager
def averaged_buffers(model: nn.Module, world: World) -> Iterator[None]:
    """Inside, running statistics are the mean over the workers; afterwards each has its own again. All workers enter."""
    own = [(buffer, buffer.clone()) for buffer in model.buffers() if buffer.is_floating_point()]
    for buffer, kept in own:
        buffer.copy_(world.mean(kept))
    try:
        yield
    finally:
        for buffer, kept in own:
            buffer.copy_(kept)
