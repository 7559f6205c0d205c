"""REINFORCE over a tabular policy: Williams, "Simple statistical gradient-following algorithms for connectionist
reinforcement learning", Machine Learning 1992; as a baseline of NAS in Ying et al., "NAS-Bench-101", ICML 2019."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from raynas.space import SearchSpace

from .policy import Policy
from .policy_gradient import PolicySearcher, Told


class TablePolicy(Policy):
    """One free logit for each candidate: keys are independent of each other, but for their conditions."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        self.table = nn.Parameter(torch.zeros(len(self.owner)))

    def logits(self, picks: Tensor) -> Tensor:
        return self.table.expand(len(picks), -1)

    def next_logits(self, number: int, picks: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.table[self.slices[number]].expand(len(picks), -1), None


class ReinforceSearcher(PolicySearcher):
    """Every result is one step of gradient ascent along advantage * d log p(architecture), the REINFORCE rule.

    The advantage is the result's rank above a moving average, the reinforcement baseline; an entropy term is added, as in
    Zoph and Le, "Neural architecture search with reinforcement learning", ICLR 2017. The policy may have changed since
    the architecture was proposed, when many trials run at once: the step of each key is then multiplied with the ratio of
    the probabilities of its pick now and then, at most 1. (The ratio for the whole architecture, the product of these, would
    leave next to nothing of a late result.) It never waits.

    Args:
        seed: of the searcher's generator.
        learning_rate: of plain gradient ascent.
        entropy_weight: weight of the policy's entropy.
        baseline_momentum: how much of the moving average is kept at each result.

    Raises:
        OptionError: a number is out of its range.
    """

    def __init__(
        self, seed: int = 0, learning_rate: float = 0.5, entropy_weight: float = 0.02, *, baseline_momentum: float = 0.9
    ) -> None:
        super().__init__(seed, learning_rate, entropy_weight, baseline_momentum=baseline_momentum)
        self._optimizer: torch.optim.SGD

    def make_policy(self, generator: torch.Generator) -> Policy:
        policy = TablePolicy(self.space)
        self._optimizer = torch.optim.SGD(policy.parameters(), lr=self.learning_rate, maximize=True)  # has no state
        return policy

    def learn(self, told: Sequence[Told], advantages: Tensor) -> None:
        (result,) = told
        log_probs, entropies = self.policy.log_prob_and_entropy(self.policy.encode([result.architecture]))
        ratios = torch.ones_like(log_probs)
        if result.log_probs is not None:
            ratios = (log_probs.detach() - torch.tensor(result.log_probs)).exp().clamp(max=1.0)
        objective = (ratios * advantages[0] * log_probs + self.entropy_weight * entropies).sum()
        self._optimizer.zero_grad()
        objective.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
