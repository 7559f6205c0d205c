"""Local search: the contract, neighbours of the best, local optima, many at once, large neighbourhoods."""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from raynas_searchers import local_search
from raynas_searchers.local_search import LocalSearcher

from raynas.errors import NoMoreTrials, OptionError
from raynas.space import Architecture, SearchSpace
from raynas.testing import SearcherContract, example_spaces

NUM_NEIGHBOURS = 16  # of each architecture of the fixture ``space``: eight layers, two other operators each
Value = Callable[[Architecture], float]


class TestContract(SearcherContract):
    def make_searcher(self, seed: int) -> LocalSearcher:
        return LocalSearcher(seed=seed)


class TestContractWithRandomRestarts(SearcherContract):
    def make_searcher(self, seed: int) -> LocalSearcher:
        return LocalSearcher(seed=seed, num_initial=1, restart="random")


class TestContractOfDrawnNeighbours(SearcherContract):
    @pytest.fixture(autouse=True)
    def _nothing_is_listed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local_search, "MAX_LISTED", 0)

    def make_searcher(self, seed: int) -> LocalSearcher:
        return LocalSearcher(seed=seed, num_initial=3)


def _searcher(space: SearchSpace, **options: Any) -> LocalSearcher:
    searcher = LocalSearcher(**options)
    searcher.update_search_space(space)
    return searcher


def _tell(searcher: LocalSearcher, number: int, architecture: Architecture, value: float) -> None:
    searcher.receive_trial_result(number, architecture, value)
    searcher.trial_end(number, True)


def _play(searcher: LocalSearcher, value: Value, num_proposals: int, start: int = 0) -> list[Architecture]:
    """One at a time."""
    proposed = []
    for number in range(start, start + num_proposals):
        proposed.append(searcher.generate_parameters(number))
        _tell(searcher, number, proposed[-1], value(proposed[-1]))
    return proposed


def _differing(first: Architecture, second: Architecture) -> int:
    return sum(first.indices[key] != second.indices[key] for key in first)


# --- climbing --------------------------------------------------------------------------------------------------------


def test_it_starts_from_random_architectures(space: SearchSpace, separable: Value) -> None:
    rng = Random(3)
    assert _play(_searcher(space, seed=3, num_initial=12), separable, 12) == [space.sample(rng) for _ in range(12)]


def test_every_proposal_is_a_neighbour_of_the_best_until_that_is_a_local_optimum(space: SearchSpace, separable: Value) -> None:
    """A sum of one term a layer has a single local optimum, so it must be reached by first improvements alone."""
    best_of_all = max(separable(architecture) for architecture in space.enumerate())
    searcher = _searcher(space, num_initial=5)
    seen = _play(searcher, separable, 5)
    moves = 0
    while separable(best := max(seen, key=separable)) < best_of_all:
        seen += _play(searcher, separable, 1, start=len(seen))
        assert _differing(best, seen[-1]) == 1
        moves += separable(seen[-1]) > separable(best)
    assert 0 < moves < len(seen) < 100


def test_after_the_last_neighbour_of_the_best_come_those_of_the_next_best(space: SearchSpace) -> None:
    searcher = _searcher(space, num_initial=3)
    first, best, second = (searcher.generate_parameters(number) for number in range(3))
    for number, (architecture, value) in enumerate([(first, 1.0), (best, 3.0), (second, 2.0)]):
        _tell(searcher, number, architecture, value)
    for centre in (best, second, first):
        around = _play(searcher, lambda _: 0.0, NUM_NEIGHBOURS, start=3)
        assert set(around) == set(space.neighbours(centre)), "each once, and no other in between"


def test_an_equal_one_is_no_improvement_and_waits_behind_the_earlier(space: SearchSpace) -> None:
    searcher = _searcher(space, num_initial=1)
    proposed = _play(searcher, lambda _: 0.5, 1 + NUM_NEIGHBOURS)
    assert all(_differing(proposed[0], architecture) == 1 for architecture in proposed[1:])


def test_with_random_restarts_a_local_optimum_is_left_for_good(space: SearchSpace) -> None:
    searcher = _searcher(space, num_initial=2, restart="random")
    best, other = (searcher.generate_parameters(number) for number in range(2))
    _tell(searcher, 0, best, 9.0)
    _tell(searcher, 1, other, 1.0)
    _play(searcher, lambda _: 0.0, NUM_NEIGHBOURS, start=2)
    start = searcher.generate_parameters(18)
    assert min(_differing(best, start), _differing(other, start)) > 1
    _tell(searcher, 18, start, 0.5)
    assert all(_differing(start, architecture) == 1 for architecture in _play(searcher, lambda _: 0.0, NUM_NEIGHBOURS, 19))


def test_each_neighbour_is_as_likely_to_be_the_first(space: SearchSpace) -> None:
    centre, firsts = space.unrank(0), Counter[Architecture]()
    for seed in range(1_600):
        searcher = _searcher(space, seed=seed, num_initial=1)
        searcher.import_data([{"parameter": centre.to_dict(), "value": 1.0}])
        firsts[searcher.generate_parameters(0)] += 1
    assert set(firsts) == set(space.neighbours(centre))
    chi_square = sum((count - 100) ** 2 / 100 for count in firsts.values())
    assert chi_square < 44.3  # 15 degrees of freedom: 1 in 10,000 by chance, were the seeds not fixed


# --- many at once, failures, imports, the constraint ------------------------------------------------------------------


def test_it_never_waits_and_goes_on_with_the_next_best(space: SearchSpace) -> None:
    searcher = _searcher(space, num_initial=2)
    best, second = (searcher.generate_parameters(number) for number in range(2))
    _tell(searcher, 0, best, 2.0)
    _tell(searcher, 1, second, 1.0)
    outstanding = [searcher.generate_parameters(number) for number in range(2, 2 + 40)]
    assert set(outstanding[:16]) == set(space.neighbours(best))
    assert set(outstanding[16:32]) == set(space.neighbours(second))
    assert len(set(outstanding)) == 40
    _tell(searcher, 2 + 39, outstanding[39], 3.0)
    assert all(_differing(outstanding[39], searcher.generate_parameters(number)) == 1 for number in range(42, 50))


def test_a_failed_trial_is_neither_a_centre_nor_proposed_again(space: SearchSpace) -> None:
    searcher = _searcher(space, num_initial=1)
    failed = searcher.generate_parameters(0)
    searcher.trial_end(0, False)
    start = searcher.generate_parameters(1)
    assert _differing(failed, start) > 1
    _tell(searcher, 1, start, 1.0)
    around = []
    for number in range(2, 2 + NUM_NEIGHBOURS):
        around.append(searcher.generate_parameters(number))
        searcher.trial_end(number, False)
    assert set(around) == set(space.neighbours(start))
    assert searcher.generate_parameters(18) not in {failed, start, *around}


def test_imported_results_are_starts(space: SearchSpace) -> None:
    known, rng = [space.unrank(number) for number in (0, 3_000, 6_000)], Random(0)
    searcher = _searcher(space, num_initial=5)
    searcher.import_data([{"parameter": each.to_dict(), "value": value} for each, value in zip(known, (1, 3, 2), strict=True)])
    assert [searcher.generate_parameters(number) for number in range(2)] == [space.sample(rng) for _ in range(2)]
    assert {searcher.generate_parameters(number) for number in range(2, 18)} == set(space.neighbours(known[1]))


def test_a_neighbourhood_ends_where_the_constraint_leaves_nothing(space: SearchSpace) -> None:
    def allowed(architecture: Architecture) -> bool:
        return sum(choice.value == "a" for choice in architecture.values()) >= 6

    searcher = _searcher(space, num_initial=1)
    searcher.set_constraint(allowed)
    proposed = _play(searcher, lambda architecture: int(architecture.digest, 16), 129)
    assert set(proposed) == {architecture for architecture in space.enumerate() if allowed(architecture)}
    with pytest.raises(NoMoreTrials):
        searcher.generate_parameters(129)


# --- neighbourhoods large and kept ------------------------------------------------------------------------------------


def test_a_large_neighbourhood_is_never_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    document = {f"key{i}": {"_type": "choice", "_value": list(range(50_000))} for i in range(2)}
    document["inputs"] = {"_type": "input_choice", "_value": {"candidates": [str(i) for i in range(500)], "n_chosen": 250}}
    space = SearchSpace(document)
    monkeypatch.setattr(SearchSpace, "neighbours", None)
    searcher = _searcher(space, num_initial=1)
    centre, *proposed = _play(searcher, lambda _: 0.0, 200)
    assert len(set(proposed)) == 199
    assert all(_differing(centre, architecture) == 1 for architecture in proposed)


def test_neighbours_are_counted_without_listing_them() -> None:
    for space in example_spaces():
        searcher, rng = _searcher(space), Random(0)
        for architecture in [space.sample(rng) for _ in range(10)]:
            assert searcher._num_neighbours(architecture) == sum(1 for _ in space.neighbours(architecture))


def test_lists_that_are_made_again_change_nothing(monkeypatch: pytest.MonkeyPatch, space: SearchSpace) -> None:
    def rugged(architecture: Architecture) -> float:
        return int(architecture.digest[:8], 16)

    expected = _play(_searcher(space), rugged, 300)
    monkeypatch.setattr(local_search, "MAX_LISTS", 0)
    assert _play(_searcher(space), rugged, 300) == expected


# --- quality and options ----------------------------------------------------------------------------------------------


def test_it_beats_random_search(mean_best: Callable[..., float]) -> None:
    for num_trials in (30, 60):
        assert mean_best("local_search", num_trials) > mean_best("random", num_trials) + 0.3


@pytest.mark.parametrize(
    ("options", "found"), [({"num_initial": 0}, "num_initial=0"), ({"restart": "best"}, "next_best, random")]
)
def test_options_out_of_range_are_refused(options: dict[str, Any], found: str) -> None:
    with pytest.raises(OptionError, match=found):
        LocalSearcher(**options)
