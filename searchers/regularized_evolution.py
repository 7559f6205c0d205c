"""Regularized (ageing) evolution: Real et al., "Regularized evolution for image classifier architecture search", AAAI 2019."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from raynas.errors import OptionError
from raynas.explore import Searcher
from raynas.space import Architecture, generator_state, restore_generator

MAX_TRIES = 100  # to make something allowed; what is forbidden after them does not run


class RegularizedEvolutionSearcher(Searcher):
    """Algorithm 1 of the paper: mutate the best of a random sample of the population; the oldest member dies.

    The first ``population_size`` proposals are random. It never waits: with many trials at once the population is simply
    what has come back by then, and while nothing has, proposals go on being random. A failed trial never joins.

    The paper has sizes of 100 and 25, for 20,000 trials. The defaults are for 50 to 500: on average over NAS-Bench-Macro and
    eleven synthetic spaces they are ahead of 50 and 10 up to 200 trials and level with them at 500. (A population of 50 is
    random search for 50 trials.) With thousands of trials, take a larger one.

    Args:
        seed: of the searcher's generator.
        population_size: P of the paper.
        sample_size: S of the paper; drawn with replacement, so that as many as there are members still miss the best one of
            them in a third of the samples.

    Raises:
        OptionError: a size is not positive.
    """

    def __init__(self, seed: int = 0, population_size: int = 10, sample_size: int = 10) -> None:
        super().__init__(seed)
        if population_size < 1 or sample_size < 1:
            raise OptionError(f"population_size={population_size} and sample_size={sample_size} must be at least 1")
        self.population_size, self.sample_size = population_size, sample_size
        self._population: deque[tuple[float, Architecture]] = deque(maxlen=population_size)
        self._num_proposed = 0

    def generate_parameters(self, parameter_id: int) -> Architecture:
        self._num_proposed += 1
        for _ in range(MAX_TRIES):
            child = self._make()
            if self.allowed is None or self.allowed(child):
                break
        return child

    def _make(self) -> Architecture:
        if self._num_proposed <= self.population_size or not self._population:
            return self.space.sample(self.rng)
        members = [self._population[self.rng.randrange(len(self._population))] for _ in range(self.sample_size)]
        parent = max(members, key=lambda member: member[0])[1]
        able = any(self.space[key].num_options > 1 for key in parent)
        return self.space.mutate(parent, self.rng) if able else self.space.sample(self.rng)

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        super().receive_trial_result(parameter_id, parameters, value)
        self._population.append((value, parameters))

    def state_dict(self) -> dict[str, Any]:
        population = [[value, architecture.to_dict()] for value, architecture in self._population]
        return {"rng": generator_state(self.rng), "population": population, "num_proposed": self._num_proposed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        restore_generator(self.rng, state["rng"])
        members = ((value, self.space.validate(document)) for value, document in state["population"])
        self._population = deque(members, maxlen=self.population_size)
        self._num_proposed = state["num_proposed"]
