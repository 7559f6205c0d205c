"""Single path one-shot: Guo et al., "Single path one-shot neural architecture search with uniform sampling", ECCV 2020."""

from __future__ import annotations

from torch import nn

from raynas.mutators import RandomMutator
from raynas.oneshot.one_shot_trainer import OneShotTrainer


class SposTrainer(OneShotTrainer):
    """At every step one path, drawn uniformly, is trained: equation 7 of the paper, the same path on all workers."""

    def make_mutator(self, model: nn.Module, seed: int) -> RandomMutator:
        return RandomMutator(model, seed=seed)
