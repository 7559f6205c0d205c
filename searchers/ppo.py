"""Proximal policy optimization: Schulman et al., "Proximal policy optimization algorithms", 2017."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from raynas.errors import OptionError
from raynas.space import SearchSpace

from .policy import Policy, from_hex, to_hex
from .policy_gradient import PolicySearcher, Told

HIDDEN_SIZE = 32


class RecurrentPolicy(Policy):
    """A gated recurrent unit goes from key to key, fed with the candidates picked before: the keys depend on each other.

    Args:
        space: the search space.
        hidden_size: of the unit, and of the embeddings of keys and candidates.
        generator: draws the first weights. All logits are 0 at first.
    """

    def __init__(self, space: SearchSpace, hidden_size: int, generator: torch.Generator) -> None:
        super().__init__(space)
        scale = 1 / math.sqrt(hidden_size)
        self.candidates = nn.Parameter(torch.randn(len(self.owner), hidden_size, generator=generator) * scale)
        self.places = nn.Parameter(torch.randn(len(self.keys), hidden_size, generator=generator) * scale)
        unit = nn.GRU(hidden_size, hidden_size, batch_first=True, device="meta")  # elsewhere the global generator would draw
        self.unit = unit.to_empty(device="cpu")
        for values in self.unit.parameters():
            nn.init.uniform_(values, -scale, scale, generator=generator)
        self.weight = nn.Parameter(torch.zeros(len(self.owner), hidden_size))
        self.bias = nn.Parameter(torch.zeros(len(self.owner)))

    def logits(self, picks: Tensor) -> Tensor:
        num_keys, hidden_size = self.places.shape
        picked = torch.zeros(len(picks), num_keys, hidden_size)
        picked = picked.index_add(1, self.owner, picks.unsqueeze(2) * self.candidates)
        before = torch.cat([torch.zeros_like(picked[:, :1]), picked[:, :-1]], 1)
        hidden: Tensor = self.unit(before + self.places)[0]
        return (hidden[:, self.owner] * self.weight).sum(2) + self.bias

    def next_logits(self, number: int, picks: Tensor, state: Any) -> tuple[Tensor, Any]:
        fed = self.places[number].expand(len(picks), -1)
        if number:
            before = self.slices[number - 1]
            fed = fed + picks[:, before] @ self.candidates[before]
        hidden, state = self.unit(fed.unsqueeze(1), state)
        where = self.slices[number]
        return hidden[:, 0] @ self.weight[where].T + self.bias[where], state


class PpoSearcher(PolicySearcher):
    """Several steps of Adam on the clipped surrogate objective (equation 7) for every batch of results.

    Each key that is decided is a time step of the paper, with the ratio of its probabilities now and when it was proposed,
    so results may come late. The policy is recurrent; all keys of an architecture have its advantage, which is its rank
    above a moving average; an entropy bonus is added (equation 9; there is no value function). It never waits.

    Args:
        seed: of the searcher's generator.
        learning_rate: of Adam.
        batch_size: results that are learned from together.
        num_epochs: steps on each batch.
        clip_range: epsilon of equation 7.
        entropy_weight: weight of the policy's entropy, c2 of equation 9.

    Raises:
        OptionError: a number is out of its range.
    """

    def __init__(
        self,
        seed: int = 0,
        learning_rate: float = 0.01,
        batch_size: int = 10,
        *,
        num_epochs: int = 10,
        clip_range: float = 0.2,
        entropy_weight: float = 0.02,
    ) -> None:
        super().__init__(seed, learning_rate, entropy_weight)
        if min(batch_size, num_epochs) < 1 or clip_range <= 0:
            raise OptionError(
                f"batch_size={batch_size}, num_epochs={num_epochs}, clip_range={clip_range}; "
                "expected at least 1, at least 1, and more than 0"
            )
        self.batch_size, self.num_epochs, self.clip_range = batch_size, num_epochs, clip_range
        self._optimizer: torch.optim.Adam

    def make_policy(self, generator: torch.Generator) -> Policy:
        policy = RecurrentPolicy(self.space, HIDDEN_SIZE, generator)
        self._optimizer = torch.optim.Adam(policy.parameters(), lr=self.learning_rate, maximize=True)
        return policy

    def learn(self, told: Sequence[Told], advantages: Tensor) -> None:
        picks = self.policy.encode([result.architecture for result in told])
        with torch.no_grad():
            then, _ = self.policy.log_prob_and_entropy(picks)  # of what was imported
        for row, result in enumerate(told):
            if result.log_probs is not None:
                then[row] = torch.tensor(result.log_probs)
        for _ in range(self.num_epochs):
            log_probs, entropies = self.policy.log_prob_and_entropy(picks)
            surrogate = clipped_surrogate((log_probs - then).exp(), advantages.unsqueeze(1), self.clip_range)
            objective = (surrogate + self.entropy_weight * entropies).sum(1).mean()
            self._optimizer.zero_grad()
            objective.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        moments = self._optimizer.state_dict()["state"]
        return {
            **super().state_dict(),
            "moments": [[number, {name: to_hex(values) for name, values in of.items()}] for number, of in moments.items()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        shapes = [values.shape for values in self.policy.parameters()]
        moments = {
            number: {name: from_hex(text).view(() if name == "step" else shapes[number]) for name, text in of.items()}
            for number, of in state["moments"]
        }
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": moments})


def clipped_surrogate(ratio: Tensor, advantages: Tensor, clip_range: float) -> Tensor:
    """Equation 7 before the expectation: the lesser of ratio * advantage with the ratio as it is and clipped to 1 ± epsilon."""
    return torch.minimum(ratio * advantages, ratio.clamp(1 - clip_range, 1 + clip_range) * advantages)
