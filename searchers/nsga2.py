"""NSGA-II: Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm", IEEE TEC 2002."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import count
from typing import Any, NamedTuple

from raynas.errors import OptionError, ResultError
from raynas.explore import Archive, Searcher, crowding_distance, non_dominated_sort
from raynas.space import Architecture, SearchSpace, generator_state, restore_generator

TRIES_PER_STEP = 10  # children that are not new, until children are mutated in one key more


class Member(NamedTuple):
    """One of the population: its objectives, larger is better, and its architecture."""

    point: tuple[float, ...]
    architecture: Architecture


class Nsga2Searcher(Searcher):
    """Evolves a front of architectures: binary tournaments, crossover, mutation, and the worst of the population leaves.

    It never waits. Proposals are random until ``population_size`` results are there (imported ones count). From then on
    each proposal is one child, and each result joins the population at once, which then loses its worst member: the
    steady-state form of the algorithm (Durillo et al., "On the effect of the steady-state selection scheme in
    multi-objective genetic algorithms", EMO 2009), so that a trial that takes long keeps no other from starting. Better
    is a lower rank, then a larger crowding distance (the paper's crowded comparison, section III-B); among members that
    are the same in both the oldest leaves. What is proposed keeps the constraint and was not proposed before.

    A single objective is the case in which every front is one value: a genetic algorithm that keeps its best.

    With ``at_least`` domination is constrained (section VI): an architecture within all limits goes before one that
    breaks some, and of two that do the one that breaks them less, by the sum over the limits of the value's distance
    to the limit, each as a share of that limit's size (as it is where the limit is 0).

    Args:
        seed: of the searcher's generator.
        population_size: N of the paper (100 there; fewer make progress with fewer trials).
        crossover_rate: chance that a child has two parents instead of one (0.9).
        mutation_rate: how many mutations a child undergoes on average, as a share of its active keys; ``None``: one.
        at_least: metric to the least that it should be, larger being better: a metric that is minimised is told negated,
            so at most 5 ms of ``latency`` is ``{"latency": -5.0}``.

    Raises:
        OptionError: an option is out of its range.

    Example:
        >>> from raynas.space import SearchSpace
        >>> searcher = Nsga2Searcher(seed=0, at_least={"latency": -5.0})
        >>> searcher.update_search_space(SearchSpace({"width": {"_type": "choice", "_value": [16, 24, 32]}}))
        >>> first = searcher.generate_parameters(0)
        >>> searcher.receive_trial_result(0, first, {"accuracy": 0.9, "latency": -4.2})
    """

    multi_objective = True

    def __init__(
        self,
        seed: int = 0,
        population_size: int = 20,
        crossover_rate: float = 0.9,
        *,
        mutation_rate: float | None = None,
        at_least: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(seed)
        if population_size < 2:
            raise OptionError(f"population_size is {population_size}; expected at least 2, for there are two parents")
        for name, rate in (("crossover_rate", crossover_rate), ("mutation_rate", mutation_rate)):
            if rate is not None and not 0 <= rate <= 1:
                raise OptionError(f"{name} is {rate}; expected a share from 0 to 1")
        if not isinstance(at_least, Mapping | None):
            raise OptionError(f"at_least is {at_least!r}; expected a mapping from metric to the least that it should be")
        for name, limit in (at_least or {}).items():
            if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
                raise OptionError(f"at_least of {name!r} is {limit!r}; expected a finite number, larger is better")
        self.population_size, self.crossover_rate, self.mutation_rate = population_size, crossover_rate, mutation_rate
        self.at_least = dict(at_least or {})
        self._metrics: list[str] | None = None  # of the results; empty for a single objective
        self._population: list[Member] = []  # in the order in which they joined
        self._ranks: list[int] = []
        self._room: list[float] = []  # crowding distances, each within its front
        self._archive: Archive

    def update_search_space(self, search_space: SearchSpace) -> None:
        super().update_search_space(search_space)
        self._archive = Archive(self)

    def generate_parameters(self, parameter_id: int) -> Architecture:
        if len(self._population) < self.population_size:
            return self._archive.draw()
        tries = count()
        return self._archive.draw(lambda: self._child(next(tries) // TRIES_PER_STEP))

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        super().receive_trial_result(parameter_id, parameters, value)
        point = self._read(parameter_id, value)
        self._archive.take(parameters)
        self._population.append(Member(point, parameters))
        self._rank()
        if len(self._population) > self.population_size:
            worst = max(range(len(self._population)), key=lambda at: (self._ranks[at], -self._room[at], -at))
            rank = self._ranks[worst]
            del self._population[worst], self._ranks[worst], self._room[worst]
            # The ranks of the others do not hang on a member of the last front.
            self._measure_room([at for at, found in enumerate(self._ranks) if found == rank])

    # --- children ----------------------------------------------------------------------------------------------------

    def _child(self, more: int) -> Architecture:
        child = self._parent()
        if self.rng.random() < self.crossover_rate:
            child = self.space.crossover(child, self._parent(), self.rng)
        able = sum(self.space[key].num_options > 1 for key in child)
        if not able:
            return self.space.sample(self.rng)
        rate = 1 / able if self.mutation_rate is None else self.mutation_rate
        for _ in range(more + sum(self.rng.random() < rate for _ in range(able))):
            child = self.space.mutate(child, self.rng)
        return child

    def _parent(self) -> Architecture:
        first, second = (self.rng.randrange(len(self._population)) for _ in range(2))
        better = (self._ranks[second], -self._room[second]) < (self._ranks[first], -self._room[first])
        return self._population[second if better else first].architecture

    # --- the population ----------------------------------------------------------------------------------------------

    def _read(self, parameter_id: int, value: Any) -> tuple[float, ...]:
        """The objectives in the order of the first result's."""
        names = list(value) if isinstance(value, Mapping) else []
        for name in self.at_least:
            if name not in names:
                raise OptionError(f"at_least names {name!r}; expected one of the objectives: {_listed(names)}")
        if self._metrics is None:
            self._metrics = names
        if set(names) != set(self._metrics):
            expected = _listed(self._metrics)
            raise ResultError(f"trial {parameter_id} was told {_listed(names)}; expected, as of trials before, {expected}")
        return tuple(value[name] for name in self._metrics) if names else (value,)

    def _rank(self) -> None:
        """Rank the population by constrained domination, and measure the room in each front."""
        violations = [self._violation(member.point) for member in self._population]
        keeping = [at for at, violation in enumerate(violations) if not violation]
        ranks = non_dominated_sort([self._population[at].point for at in keeping])
        num_fronts = 1 + max(ranks, default=-1)
        behind = {violation: rank for rank, violation in enumerate(sorted({*violations} - {0.0}), num_fronts)}
        self._ranks = [behind.get(violation, 0) for violation in violations]
        for at, rank in zip(keeping, ranks, strict=True):
            self._ranks[at] = rank
        fronts: dict[int, list[int]] = {}
        for at, rank in enumerate(self._ranks):
            fronts.setdefault(rank, []).append(at)
        self._room = [math.inf] * len(self._population)
        for front in fronts.values():
            self._measure_room(front)

    def _measure_room(self, front: list[int]) -> None:
        if len(front) > 2 or any(self._room[at] < math.inf for at in front):
            for at, room in zip(front, crowding_distance([self._population[at].point for at in front]), strict=True):
                self._room[at] = room

    def _violation(self, point: tuple[float, ...]) -> float:
        if not self.at_least:
            return 0.0
        values = dict(zip(self._metrics or (), point, strict=True))
        return sum(max(0.0, limit - values[name]) / (abs(limit) or 1.0) for name, limit in self.at_least.items())

    # --- the state ---------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "rng": generator_state(self.rng),
            "metrics": self._metrics,
            "population": [[list(member.point), member.architecture.to_row()] for member in self._population],
            "archive": self._archive.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        restore_generator(self.rng, state["rng"])
        self._metrics = state["metrics"]
        read = Architecture.from_row
        self._population = [Member(tuple(point), read(self.space, row)) for point, row in state["population"]]
        self._archive.load_state_dict(state["archive"])
        self._rank()


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "a single value"
