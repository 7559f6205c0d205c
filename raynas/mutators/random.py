"""``RandomMutator``: another architecture at each reset, uniformly."""

from __future__ import annotations

from random import Random
from typing import Any

from torch import Tensor, nn

from raynas.mutators.mutator import Mutator
from raynas.space import Architecture, generator_state, restore_generator


class RandomMutator(Mutator):
    """Samples architectures uniformly.

    Args:
        model: a model with mutables and without a mutator.
        seed: of the one generator that it owns.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from raynas.nn import LayerChoice
        >>> net = nn.Sequential(LayerChoice([nn.Linear(4, 2), nn.Linear(4, 2)], key="op"))
        >>> mutator = RandomMutator(net, seed=0)
        >>> mutator.reset()
        >>> net(torch.zeros(1, 4)).shape
        torch.Size([1, 2])
    """

    def __init__(self, model: nn.Module, seed: int = 0) -> None:
        super().__init__(model)
        self._rng = Random(seed)

    def sample_architecture(self) -> Architecture:
        """The next architecture of the sequence."""
        return self.space.sample(self._rng)

    def reset(self) -> None:
        self.apply_architecture(self.sample_architecture())

    def sample_search(self) -> dict[str, Tensor]:
        return self.architecture_masks(self.sample_architecture())

    def sample_final(self) -> dict[str, Tensor]:
        return self.sample_search()

    def get_extra_state(self) -> dict[str, Any]:
        return {"rng": generator_state(self._rng)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        restore_generator(self._rng, state["rng"])
