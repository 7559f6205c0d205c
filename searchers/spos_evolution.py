"""Evolution over a supernet: Guo et al., "Single path one-shot neural architecture search with uniform sampling", ECCV 2020."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from raynas.errors import NoMoreTrials, OptionError
from raynas.explore import Archive, Searcher
from raynas.space import Architecture, SearchSpace, generator_state, restore_generator

Sources = tuple[Callable[[], Architecture], ...]


class SposEvolutionSearcher(Searcher):
    """Algorithm 1 of the paper: generations made by mutation and crossover of the best architectures seen so far.

    A generation is proposed as a whole, and is taken in the order of its ids when all of its trials have ended; so the
    result does not depend on how many run at once or which ends first. What is proposed keeps the constraint and was not
    proposed before; when nothing of the kind is left, the search is over.

    Args:
        seed: of the searcher's generator.
        population_size: architectures in a generation (50 in the paper).
        num_parents: how many of the best are parents (k = 10).
        num_mutations: children by mutation (25); as many more come from crossover (25) and the rest at random.
        num_crossovers: children by crossover.
        mutation_rate: chance of each key to be mutated (0.1); at least one key is.

    Raises:
        OptionError: a number is out of its range.
    """

    def __init__(
        self,
        seed: int = 0,
        population_size: int = 50,
        num_parents: int = 10,
        *,
        num_mutations: int | None = None,
        num_crossovers: int | None = None,
        mutation_rate: float = 0.1,
    ) -> None:
        super().__init__(seed)
        num_mutations = population_size // 2 if num_mutations is None else num_mutations
        num_crossovers = population_size // 2 if num_crossovers is None else num_crossovers
        if population_size < 1 or num_parents < 1 or not 0 <= mutation_rate <= 1:
            raise OptionError(f"population_size={population_size}, num_parents={num_parents}, mutation_rate={mutation_rate}")
        if min(num_mutations, num_crossovers) < 0 or num_mutations + num_crossovers > population_size:
            raise OptionError(f"{num_mutations} mutations and {num_crossovers} crossovers make more than {population_size}")
        self.population_size, self.num_parents, self.mutation_rate = population_size, num_parents, mutation_rate
        self.num_mutations, self.num_crossovers = num_mutations, num_crossovers
        self._queue: deque[Architecture] = deque()
        self._open: dict[int, tuple[Architecture, float] | None] = {}  # ids of this generation, with their results
        self._running: set[int] = set()
        self._best: list[tuple[float, Architecture]] = []
        self._archive: Archive

    def update_search_space(self, search_space: SearchSpace) -> None:
        super().update_search_space(search_space)
        self._archive = Archive(self)

    def generate_parameters(self, parameter_id: int) -> Architecture | None:
        if not self._queue:
            if self._running:
                return None
            self._take_generation()
            self._queue.extend(self._make_generation())
            if not self._queue:
                raise NoMoreTrials("no architecture is left that is allowed and was not proposed before")
        self._open[parameter_id] = None
        self._running.add(parameter_id)
        return self._queue.popleft()

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        super().receive_trial_result(parameter_id, parameters, value)
        self._open[parameter_id] = (parameters, value)

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self._running.discard(parameter_id)

    def _take_generation(self) -> None:
        results = [self._open[parameter_id] for parameter_id in sorted(self._open)]
        known = {architecture.digest for _, architecture in self._best}
        for result in results:
            if result is not None and result[0].digest not in known:
                known.add(result[0].digest)
                self._best.append((result[1], result[0]))
        self._best.sort(key=lambda member: -member[0])  # stable: the earlier of equals stays in front
        del self._best[self.num_parents :]
        self._open.clear()

    def _make_generation(self) -> list[Architecture]:
        bred = [self._mutated] * self.num_mutations + [self._crossed] * self.num_crossovers if self._best else []
        sources: list[Sources] = [(make,) for make in bred] + [()] * (self.population_size - len(bred))
        made: list[Architecture] = []
        for source in sources:
            try:
                made.append(self._archive.draw(*source))
            except NoMoreTrials:
                break  # the last generation is a smaller one
        return made

    def _mutated(self) -> Architecture:
        parent = self._best[self.rng.randrange(len(self._best))][1]
        able = sum(self.space[key].num_options > 1 for key in parent)
        if not able:
            return self.space.sample(self.rng)
        for _ in range(max(1, sum(self.rng.random() < self.mutation_rate for _ in range(able)))):
            parent = self.space.mutate(parent, self.rng)
        return parent

    def _crossed(self) -> Architecture:
        mother, father = (self._best[self.rng.randrange(len(self._best))][1] for _ in range(2))
        return self.space.crossover(mother, father, self.rng)

    def state_dict(self) -> dict[str, Any]:
        return {
            "rng": generator_state(self.rng),
            "queue": [architecture.to_dict() for architecture in self._queue],
            "open": [[trial, result and [result[0].to_dict(), result[1]]] for trial, result in self._open.items()],
            "running": sorted(self._running),
            "best": [[value, architecture.to_dict()] for value, architecture in self._best],
            "archive": self._archive.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        restore_generator(self.rng, state["rng"])
        read = self.space.validate
        self._queue = deque(read(document) for document in state["queue"])
        self._open = {trial: (read(result[0]), result[1]) if result else None for trial, result in state["open"]}
        self._running = set(state["running"])
        self._best = [(value, read(document)) for value, document in state["best"]]
        self._archive.load_state_dict(state["archive"])
