"""``PolicySearcher``: what the searchers have in common that learn a policy by gradients of its log-probabilities."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from raynas.errors import OptionError
from raynas.explore import Archive, Searcher
from raynas.space import Architecture, SearchSpace, generator_state, restore_generator

from .policy import Policy, from_hex, to_hex

FIRST_DRAWS, MOST_DRAWS = 8, 64  # architectures sampled together, which is hardly dearer than one


class Told(NamedTuple):
    """A result to learn from, with the log-probability of each key when it was proposed; ``None`` if it was imported."""

    architecture: Architecture
    value: float
    log_probs: list[float] | None


class PolicySearcher(Searcher):
    """Samples from a policy and, at every ``batch_size`` results, makes the better ones more likely.

    What was proposed before is drawn again; where the policy knows nothing new any more, neighbours of its draws are next.
    A value counts by its rank among all results so far, scaled to mean 0 and variance 1, so units and outliers do not
    matter; its advantage is what it has above the moving average of the ranks.

    Args:
        seed: of the searcher's generator, which seeds one of torch's for each proposal.
        learning_rate: of the gradient steps.
        entropy_weight: weight of the policy's entropy, which keeps it from settling too early.
        baseline_momentum: how much of the moving average is kept at each result.

    Attributes:
        batch_size: results that are learned from together.
        policy: the policy, once ``update_search_space`` was called.
        baseline: the moving average of the ranks, in [-sqrt(3), sqrt(3)].

    Raises:
        OptionError: a number is out of its range.
    """

    batch_size = 1

    def __init__(self, seed: int, learning_rate: float, entropy_weight: float, *, baseline_momentum: float = 0.9) -> None:
        super().__init__(seed)
        if learning_rate <= 0 or entropy_weight < 0 or not 0 <= baseline_momentum < 1:
            raise OptionError(
                f"learning_rate={learning_rate}, entropy_weight={entropy_weight}, baseline_momentum={baseline_momentum}; "
                "expected > 0, at least 0, and from 0 to below 1"
            )
        self.learning_rate, self.entropy_weight, self.baseline_momentum = learning_rate, entropy_weight, baseline_momentum
        self.policy: Policy
        self.baseline = 0.0
        self._values: list[float] = []  # ascending
        self._log_probs: dict[int, list[float]] = {}  # of the trials that run
        self._told: list[Told] = []
        self._archive: Archive

    def make_policy(self, generator: torch.Generator) -> Policy:
        """The policy for ``self.space``, before it has learned anything."""
        raise NotImplementedError

    def learn(self, told: Sequence[Told], advantages: Tensor) -> None:
        """Change the policy by ``batch_size`` results and their advantages, (results,)."""
        raise NotImplementedError

    def update_search_space(self, search_space: SearchSpace) -> None:
        super().update_search_space(search_space)
        self._archive = Archive(self)
        self.policy = self.make_policy(self._generator())

    def generate_parameters(self, parameter_id: int) -> Architecture:
        drawn: list[Architecture] = []
        draws = self._draws()

        def draw() -> Architecture:
            drawn[:] = [next(draws)]
            return drawn[0]

        def near() -> Architecture:
            able = any(self.space[key].num_options > 1 for key in drawn[0])
            return self.space.mutate(drawn[0], self.rng) if able else drawn[0]

        architecture = self._archive.draw(draw, near)
        with torch.no_grad():
            self._log_probs[parameter_id] = self.policy.log_prob_and_entropy(self.policy.encode([architecture]))[0][0].tolist()
        return architecture

    def _draws(self) -> Iterator[Architecture]:
        generator, num_draws = self._generator(), FIRST_DRAWS
        while True:
            yield from self.policy.decode(self.policy.sample(num_draws, generator))
            num_draws = min(2 * num_draws, MOST_DRAWS)

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.rng.getrandbits(63))

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        super().receive_trial_result(parameter_id, parameters, value)
        self._archive.add(parameters, value)
        insort(self._values, value)
        self._told.append(Told(parameters, value, self._log_probs.pop(parameter_id, None)))
        if len(self._told) >= self.batch_size:
            told, self._told = self._told, []
            self.learn(told, self._advantages(told))

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self._log_probs.pop(parameter_id, None)

    def _advantages(self, told: Sequence[Told]) -> Tensor:
        ranks, before = [self._rank(result.value) for result in told], self.baseline
        for rank in ranks:
            self.baseline = self.baseline_momentum * self.baseline + (1 - self.baseline_momentum) * rank
        return torch.tensor(ranks) - before

    def _rank(self, value: float) -> float:
        middle = (bisect_left(self._values, value) + bisect_right(self._values, value)) / 2
        return math.sqrt(3) * (2 * middle / len(self._values) - 1)

    def state_dict(self) -> dict[str, Any]:
        return {
            "rng": generator_state(self.rng),
            "archive": self._archive.state_dict(),
            "policy": {name: to_hex(values) for name, values in self.policy.state_dict().items()},
            "baseline": self.baseline,
            "log_probs": [[trial, list(log_probs)] for trial, log_probs in self._log_probs.items()],
            "told": [[result.architecture.to_row(), result.value, result.log_probs] for result in self._told],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        restore_generator(self.rng, state["rng"])
        self._archive.load_state_dict(state["archive"])
        self._values = sorted(known.value for known in self._archive.results)
        shapes = {name: values.shape for name, values in self.policy.state_dict().items()}
        self.policy.load_state_dict({name: from_hex(text).view(shapes[name]) for name, text in state["policy"].items()})
        self.baseline, self._log_probs = state["baseline"], dict(state["log_probs"])
        read = Architecture.from_row
        self._told = [Told(read(self.space, row), value, log_probs) for row, value, log_probs in state["told"]]
