"""Strict fairness: Chu et al., "FairNAS: rethinking evaluation fairness of weight sharing neural architecture search",
ICCV 2021.
"""

from __future__ import annotations

from collections import Counter

from torch import Tensor, nn

from raynas.mutators import RandomMutator
from raynas.oneshot.batches import Batch
from raynas.oneshot.one_shot_trainer import OneShotTrainer, refuse
from raynas.space import Architecture, SearchSpace


class FairMutator(RandomMutator):
    """Samples sets of paths in which every candidate of every key occurs once.

    The space has no conditions, and all its keys have equally many candidates of which one is chosen.
    """

    def sample_paths(self) -> list[Architecture]:
        """As many paths as a key has candidates: for each key a permutation of them, drawn uniformly (Algorithm 1)."""
        count = next(iter(self.space.values())).num_options
        orders = {key: self._rng.sample(range(count), count) for key in self.space}
        return [
            Architecture.trusted(self.space, {key: (order[number],) for key, order in orders.items()})
            for number in range(count)
        ]


class FairnasTrainer(OneShotTrainer):
    """At every step one path after the other, until every candidate was trained once, then one update: Algorithm 1.

    Works where all keys have the same number of candidates, exactly one is chosen, and no key hangs on another one.
    """

    mutator: FairMutator

    def make_mutator(self, model: nn.Module, seed: int) -> FairMutator:
        mutator = FairMutator(model, seed=seed)
        refuse("fairnas", _unfit(mutator.space))
        return mutator

    def train_step(self, batch: Batch) -> Tensor:
        return self.train_paths(batch, self.mutator.sample_paths())


def _unfit(space: SearchSpace) -> dict[str, str]:
    """What cannot be trained with strict fairness: key to reason."""
    most = Counter(len(domain.candidates) for domain in space.values()).most_common(1)[0][0]
    unfit = {}
    for key, domain in space.items():
        if domain.when:
            unfit[key] = f"is active only for some choices of {', '.join(map(repr, domain.when))}"
        elif domain.n_chosen != 1:
            unfit[key] = f"chooses {'any number' if domain.n_chosen is None else domain.n_chosen} of its inputs, not one"
        elif len(domain.candidates) != most:
            unfit[key] = f"has {len(domain.candidates)} candidates, others have {most}"
    return unfit
