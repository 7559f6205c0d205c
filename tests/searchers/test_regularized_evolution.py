"""Regularized evolution: the contract, the tournament, the ageing."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from raynas_searchers.regularized_evolution import RegularizedEvolutionSearcher

from raynas.errors import OptionError
from raynas.space import Architecture, SearchSpace
from raynas.testing import SearcherContract


class TestContract(SearcherContract):
    def make_searcher(self, seed: int) -> RegularizedEvolutionSearcher:
        return RegularizedEvolutionSearcher(seed=seed)


class TestContractWithALargePopulation(SearcherContract):
    def make_searcher(self, seed: int) -> RegularizedEvolutionSearcher:
        return RegularizedEvolutionSearcher(seed=seed, population_size=50, sample_size=25)


class TestContractWithASmallPopulation(SearcherContract):
    def make_searcher(self, seed: int) -> RegularizedEvolutionSearcher:
        return RegularizedEvolutionSearcher(seed=seed, population_size=4, sample_size=2)


def _searcher(space: SearchSpace, **options: Any) -> RegularizedEvolutionSearcher:
    searcher = RegularizedEvolutionSearcher(**options)
    searcher.update_search_space(space)
    return searcher


def _differences(first: Architecture, second: Architecture) -> int:
    return sum(first.indices[key] != second.indices[key] for key in first)


def _fill(searcher: RegularizedEvolutionSearcher, values: list[float]) -> list[Architecture]:
    proposed = [searcher.generate_parameters(number) for number in range(len(values))]
    for number, (architecture, value) in enumerate(zip(proposed, values, strict=True)):
        searcher.receive_trial_result(number, architecture, value)
        searcher.trial_end(number, True)
    return proposed


def test_the_best_of_the_sample_is_mutated_in_one_layer(space: SearchSpace) -> None:
    searcher = _searcher(space, population_size=6, sample_size=200)  # so many that the best of all is among them
    best = _fill(searcher, [0.1, 0.2, 0.9, 0.3, 0.4, 0.5])[2]
    assert [_differences(best, searcher.generate_parameters(number)) for number in range(6, 56)] == [1] * 50


def test_a_sample_of_one_takes_anyone_as_parent(space: SearchSpace) -> None:
    searcher = _searcher(space, population_size=4, sample_size=1)
    members = _fill(searcher, [0.1, 0.2, 0.9, 0.3])
    children = [searcher.generate_parameters(number) for number in range(4, 104)]
    parents = {next(i for i, member in enumerate(members) if _differences(member, child) == 1) for child in children}
    assert parents == {0, 1, 2, 3}


def test_the_oldest_dies_even_if_it_is_the_best(space: SearchSpace) -> None:
    searcher = _searcher(space, population_size=3, sample_size=100)
    oldest, second, _ = _fill(searcher, [0.9, 0.5, 0.1])
    child = searcher.generate_parameters(3)
    assert _differences(oldest, child) == 1
    searcher.receive_trial_result(3, child, 0.2)
    assert [_differences(second, searcher.generate_parameters(number)) for number in range(4, 24)] == [1] * 20


def test_the_first_proposals_are_random_and_so_are_all_until_a_result_comes(space: SearchSpace) -> None:
    searcher = _searcher(space, seed=7, population_size=5)
    rng = Random(7)
    assert [searcher.generate_parameters(number) for number in range(50)] == [space.sample(rng) for _ in range(50)]


def test_a_failed_trial_never_joins(space: SearchSpace) -> None:
    searcher = _searcher(space, population_size=2, sample_size=50)
    first, failed = (searcher.generate_parameters(number) for number in range(2))
    searcher.trial_end(1, False)
    searcher.receive_trial_result(0, first, -100.0)
    assert all(_differences(first, searcher.generate_parameters(number)) == 1 for number in range(2, 30))
    assert _differences(first, failed) > 1


def test_it_beats_random_search(mean_best: Callable[..., float]) -> None:
    evolved = mean_best("regularized_evolution", population_size=20, sample_size=5)
    assert evolved > mean_best("random") + 0.1


def test_with_its_defaults_it_is_ahead_of_random_search_from_fifty_trials_on(mean_best: Callable[..., float]) -> None:
    for num_trials in (50, 100):
        assert mean_best("regularized_evolution", num_trials) > mean_best("random", num_trials) + 0.2


@pytest.mark.parametrize("options", [{"population_size": 0}, {"sample_size": 0}, {"population_size": -3}])
def test_sizes_are_positive(options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="at least 1"):
        RegularizedEvolutionSearcher(**options)
