"""The defaults of the tuner protocol."""

from typing import Any

import pytest

from raynas.errors import ArchitectureError, NoMoreTrials
from raynas.explore import Proposal, Searcher
from raynas.space import Architecture, SearchSpace


class Counting(Searcher):
    """Proposes by number, ``limit`` in all; waits at every number of ``waits``."""

    def __init__(self, limit: int = 5, waits: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.limit, self.waits, self.told = limit, waits, []

    def generate_parameters(self, parameter_id: int) -> Architecture | None:
        if parameter_id >= self.limit:
            raise NoMoreTrials("counted to the end")
        return None if parameter_id in self.waits else self.space.unrank(parameter_id)

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        self.told.append((parameter_id, parameters, value))


def _counting(space: SearchSpace, **options: Any) -> Counting:
    searcher = Counting(**options)
    searcher.update_search_space(space)
    return searcher


def test_without_a_generate_it_proposes_nothing() -> None:
    with pytest.raises(NoMoreTrials, match="Searcher proposes nothing"):
        Searcher().generate_parameters(0)


def test_several_are_asked_one_by_one(space: SearchSpace) -> None:
    assert _counting(space).generate_multiple_parameters([2, 0, 3]) == [space.unrank(2), space.unrank(0), space.unrank(3)]


def test_a_shorter_list_means_wait_for_the_rest(space: SearchSpace) -> None:
    assert len(_counting(space, waits=(2,)).generate_multiple_parameters(range(5))) == 2
    assert _counting(space, waits=(0,)).generate_multiple_parameters(range(5)) == []


def test_the_last_ones_come_before_the_end(space: SearchSpace) -> None:
    searcher = _counting(space, limit=2)
    assert len(searcher.generate_multiple_parameters(range(4))) == 2
    with pytest.raises(NoMoreTrials):
        searcher.generate_multiple_parameters([2, 3])


def test_imported_results_are_told_under_negative_ids(space: SearchSpace) -> None:
    searcher, known = _counting(space), [space.unrank(4), space.unrank(9)]
    searcher.import_data([{"parameter": known[0].to_dict(), "value": 0.5}, {"parameter": known[1], "value": 0.7}])
    assert searcher.told == [(-1, known[0], 0.5), (-2, known[1], 0.7)]


def test_imported_results_must_fit_the_space(space: SearchSpace) -> None:
    with pytest.raises(ArchitectureError, match="nonsense"):
        _counting(space).import_data([{"parameter": {"nonsense": 1}, "value": 0.5}])


def test_each_searcher_owns_a_generator_of_its_seed() -> None:
    draws = [[Searcher(seed).rng.random() for _ in range(3)] for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_a_proposal_cannot_be_changed(space: SearchSpace) -> None:
    proposal = Proposal(space.unrank(0), 3)
    with pytest.raises(AttributeError):
        proposal.budget = 4  # type: ignore[misc]
    assert Proposal(space.unrank(0)).budget is None


def test_by_default_there_is_no_state() -> None:
    assert Searcher().state_dict() is None
