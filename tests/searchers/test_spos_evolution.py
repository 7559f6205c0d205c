"""Evolution over a supernet: the contract, generations, parents, the constraint."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from raynas_searchers.spos_evolution import SposEvolutionSearcher

from raynas.errors import OptionError
from raynas.explore import Objective, SearchLimits, SearchSession
from raynas.space import Architecture, SearchSpace
from raynas.testing import SearcherContract


class TestContract(SearcherContract):
    def make_searcher(self, seed: int) -> SposEvolutionSearcher:
        return SposEvolutionSearcher(seed=seed)


class TestContractWithSmallGenerations(SearcherContract):
    seconds_per_thousand = 4.0  # two parents have few neighbours: most draws are not new

    def make_searcher(self, seed: int) -> SposEvolutionSearcher:
        return SposEvolutionSearcher(seed=seed, population_size=6, num_parents=2)


def _searcher(space: SearchSpace, **options: Any) -> SposEvolutionSearcher:
    searcher = SposEvolutionSearcher(**options)
    searcher.update_search_space(space)
    return searcher


def _generation(searcher: SposEvolutionSearcher, value: Callable[[Architecture], float], start: int = 0) -> list[Architecture]:
    """Ask until it waits, then tell all results."""
    made: list[Architecture] = []
    while (architecture := searcher.generate_parameters(start + len(made))) is not None:
        made.append(architecture)
    for number, architecture in enumerate(made, start):
        searcher.receive_trial_result(number, architecture, value(architecture))
        searcher.trial_end(number, True)
    return made


def _differing(first: Architecture, second: Architecture) -> list[str]:
    return [key for key in first if first.indices[key] != second.indices[key]]


# --- any order -------------------------------------------------------------------------------------------------------


def _search(at_once: int, shuffle_seed: int, value: Callable[[Architecture], float], space: SearchSpace) -> list[str]:
    limits, rng = SearchLimits(num_trials=150), Random(shuffle_seed)
    session = SearchSession(SposEvolutionSearcher(seed=2, population_size=20), space, Objective("sum", "max"), limits=limits)
    running: list[int] = []
    while True:
        while len(running) < at_once and (record := session.ask()) is not None:
            running.append(record.id)
        if not running:
            return [record.architecture.digest for record in session.records.values()]
        ended = running.pop(rng.randrange(len(running)))
        if ended % 11 == 5:
            session.fail(ended, f"trial {ended} failed")
        else:
            session.tell(ended, {"sum": value(session.records[ended].architecture)})


def test_how_many_run_at_once_and_which_ends_first_changes_nothing(space: SearchSpace, separable: Any) -> None:
    expected = _search(1, 0, separable, space)
    assert len(expected) >= 150
    for at_once in (2, 8, 64):
        for shuffle_seed in range(3):
            assert _search(at_once, shuffle_seed, separable, space) == expected, at_once


# --- generations -----------------------------------------------------------------------------------------------------


def test_it_waits_for_the_last_of_a_generation(space: SearchSpace) -> None:
    searcher = _searcher(space, population_size=4)
    made = [searcher.generate_parameters(number) for number in range(4)]
    assert None not in made
    for number in (3, 0, 1):
        assert searcher.generate_parameters(4) is None
        searcher.trial_end(number, False)
    assert searcher.generate_parameters(4) is None
    searcher.trial_end(2, False)
    assert searcher.generate_parameters(4) is not None


def test_children_are_as_many_as_asked_for_and_made_of_the_best(space: SearchSpace, separable: Any) -> None:
    options = {"population_size": 30, "num_parents": 2, "num_mutations": 10, "num_crossovers": 8, "mutation_rate": 0.0}
    searcher = _searcher(space, **options)
    parents = sorted(_generation(searcher, separable), key=separable)[-2:]
    children = _generation(searcher, separable, start=30)
    assert len(children) == 30
    assert all(min(len(_differing(parent, child)) for parent in parents) == 1 for child in children[:10])
    for child in children[10:18]:
        assert all(child.indices[key] in {parent.indices[key] for parent in parents} for key in space)
    assert any(not any(len(_differing(parent, child)) <= 1 for parent in parents) for child in children[18:])


def test_the_best_of_all_generations_stay_parents(space: SearchSpace, separable: Any) -> None:
    searcher = _searcher(space, population_size=7, num_parents=1, num_mutations=7, num_crossovers=0, mutation_rate=0.0)
    best = max(_generation(searcher, separable), key=separable)
    _generation(searcher, lambda _: -1.0, start=7)
    assert all(len(_differing(best, child)) == 1 for child in _generation(searcher, separable, start=14))


def test_a_failed_trial_is_no_parent(space: SearchSpace, separable: Any) -> None:
    searcher = _searcher(space, population_size=6, num_parents=6, num_mutations=6, num_crossovers=0, mutation_rate=0.0)
    made = [searcher.generate_parameters(number) for number in range(6)]
    for number in range(6):
        if number == 4:
            searcher.receive_trial_result(number, made[number], 0.0)
        searcher.trial_end(number, number == 4)
    assert all(len(_differing(made[4], child)) == 1 for child in _generation(searcher, separable, start=6))


def test_nothing_is_proposed_twice_while_there_is_something_new(space: SearchSpace, separable: Any) -> None:
    searcher = _searcher(space, population_size=25)
    proposed = [architecture for start in range(0, 500, 25) for architecture in _generation(searcher, separable, start)]
    assert len(proposed) == len(set(proposed)) == 500


def test_it_beats_random_search(mean_best: Callable[..., float]) -> None:
    assert mean_best("spos_evolution", population_size=20, num_parents=5) > mean_best("random") + 0.1


# --- the constraint --------------------------------------------------------------------------------------------------


def test_the_constraint_is_asked_before_proposing(space: SearchSpace, separable: Any) -> None:
    asked: list[Architecture] = []

    def allowed(architecture: Architecture) -> bool:
        asked.append(architecture)
        return separable(architecture) > 4

    searcher = _searcher(space, population_size=20)
    searcher.set_constraint(allowed)
    for start in range(0, 100, 20):
        made = _generation(searcher, separable, start)
        assert all(separable(architecture) > 4 for architecture in made)
        assert set(made) <= set(asked)
    assert any(separable(architecture) <= 4 for architecture in asked)


def test_what_is_allowed_is_proposed_again_rather_than_what_is_not(space: SearchSpace) -> None:
    def allowed(architecture: Architecture) -> bool:
        return all(architecture.indices[key] == (0,) for key in list(space)[1:])

    searcher = _searcher(space, population_size=6, num_parents=3)
    searcher.import_data([{"parameter": {key: {"_idx": 0} for key in space}, "value": 1.0}])
    searcher.set_constraint(allowed)
    made = _generation(searcher, lambda _: 1.0)
    assert all(allowed(architecture) for architecture in made)
    assert {architecture["layer0"].value for architecture in made} == {"a", "b", "c"}


@pytest.mark.parametrize(
    "options",
    [
        {"population_size": 0},
        {"num_parents": 0},
        {"mutation_rate": 1.5},
        {"mutation_rate": -0.1},
        {"num_mutations": -1},
        {"population_size": 10, "num_mutations": 6, "num_crossovers": 5},
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        SposEvolutionSearcher(**options)
