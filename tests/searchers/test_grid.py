"""Grid search: the contract, the order, the constraint, a state of one number."""

import pytest
from raynas_searchers import grid
from raynas_searchers.grid import GridSearcher

from raynas.errors import NoMoreTrials
from raynas.space import Architecture, SearchSpace
from raynas.testing import SearcherContract, example_spaces


class TestContract(SearcherContract):
    seed_matters = False

    def make_searcher(self, seed: int) -> GridSearcher:
        return GridSearcher(seed=seed)


def _searcher(space: SearchSpace, seed: int = 0) -> GridSearcher:
    searcher = GridSearcher(seed)
    searcher.update_search_space(space)
    return searcher


def test_every_architecture_comes_once_by_number_whatever_the_seed() -> None:
    for seed, space in enumerate(example_spaces()):
        if space.size > 3_000:
            continue
        searcher = _searcher(space, seed)
        assert [searcher.generate_parameters(number) for number in range(space.size)] == list(space.enumerate())
        for _ in range(2):
            with pytest.raises(NoMoreTrials, match=f"all {space.size} "):
                searcher.generate_parameters(space.size)


def test_the_last_key_varies_fastest(space: SearchSpace) -> None:
    searcher = _searcher(space)
    proposed = [searcher.generate_parameters(number) for number in range(5)]
    assert ["".join(choice.value for choice in architecture.values()) for architecture in proposed] == [
        *("aaaaaaaa", "aaaaaaab", "aaaaaaac", "aaaaaaba", "aaaaaabb")
    ]


def test_what_the_constraint_forbids_is_passed_over(space: SearchSpace) -> None:
    def allowed(architecture: Architecture) -> bool:
        return architecture["layer7"].value == "c" and architecture["layer0"].value != "b"

    searcher = _searcher(space)
    searcher.set_constraint(allowed)
    expected = [architecture for architecture in space.enumerate() if allowed(architecture)]
    assert [searcher.generate_parameters(number) for number in range(len(expected))] == expected
    with pytest.raises(NoMoreTrials, match="all 6561"):
        searcher.generate_parameters(len(expected))


def test_a_constraint_that_forbids_too_many_in_a_row_ends_it(monkeypatch: pytest.MonkeyPatch, space: SearchSpace) -> None:
    monkeypatch.setattr(grid, "MAX_FORBIDDEN", 100)
    last, further = space.unrank(99), space.unrank(200)  # 99 forbidden before the one, 100 between them
    searcher = _searcher(space)
    searcher.set_constraint(lambda architecture: architecture in (last, further))
    assert searcher.generate_parameters(0) == last
    with pytest.raises(NoMoreTrials, match="forbade 100 architectures in a row"):
        searcher.generate_parameters(1)


def test_the_state_is_one_number_in_a_space_of_10_to_the_30() -> None:
    space = example_spaces()[4]
    assert space.size == 10**30
    searcher = _searcher(space)
    for number in range(500):
        searcher.generate_parameters(number)
    assert searcher.state_dict() == {"number": 500}
    resumed = _searcher(space, seed=1)
    resumed.load_state_dict({"number": 10**29})
    assert resumed.generate_parameters(0) == space.unrank(10**29)
