"""The neighbours of an architecture, against a definition by pairs."""

import time
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from raynas.errors import ArchitectureError
from raynas.space import Architecture, SearchSpace
from raynas.testing import example_spaces, search_spaces

SMALL = [space for space in example_spaces() if space.size < 300]
TREE = example_spaces()[11]  # three deep


def _are_neighbours(space: SearchSpace, one: Architecture, other: Architecture) -> bool:
    """As ``neighbours`` promises, said of a pair."""
    new = [key for key in other if key not in one]
    changed = [key for key in other if key in one and other.indices[key] != one.indices[key]]
    if len(changed) != 1 or any(other.indices[key] != space[key].option(0) for key in new):
        return False
    key = changed[0]
    before, after = set(one.indices[key]), set(other.indices[key])
    return len(before ^ after) == (1 if space[key].n_chosen is None else 2)


def _check_neighbours(space: SearchSpace, architecture: Architecture, others: list[Architecture]) -> None:
    found = list(space.neighbours(architecture))
    assert len({neighbour.digest for neighbour in found}) == len(found)
    assert architecture not in found
    assert {neighbour.digest for neighbour in found} == {
        other.digest for other in others if _are_neighbours(space, architecture, other)
    }
    assert found == list(space.neighbours(architecture.to_dict()))
    for neighbour in found:
        assert list(neighbour) == [key for key in space if key in neighbour]
        assert space.validate(neighbour.to_dict()) == neighbour


def test_neighbours_are_exactly_those_one_step_away() -> None:
    for space in SMALL:
        every = list(space.enumerate())
        for architecture in every[:: max(1, len(every) // 10)]:
            _check_neighbours(space, architecture, every)


@given(search_spaces(max_keys=4), st.integers(0, 10_000))
def test_neighbours_in_any_space_are_exactly_those_one_step_away(space: SearchSpace, seed: int) -> None:
    assume(space.size <= 100)
    _check_neighbours(space, space.sample(Random(seed)), list(space.enumerate()))


def test_what_becomes_active_takes_option_0_and_what_stays_is_kept() -> None:
    chosen = {
        "cell": {"_idx": 2},
        "branch": {"_idx": 1},
        "width": {"_idx": 2},
        "inputs": {"_idx": [1]},
        "activation": {"_idx": 1},
    }
    first = next(TREE.neighbours(chosen))
    assert dict(first.indices) == {"cell": (0,), "activation": (1,)}  # all below the cell is dropped
    back = list(TREE.neighbours(first))[1]
    assert dict(back.indices) == {"cell": (2,), "branch": (0,), "activation": (1,)}
    assert {"branch": (1,), "width": (0,), "inputs": ()}.items() <= list(TREE.neighbours(back))[2].indices.items()


def test_neighbours_are_made_as_they_are_asked_for() -> None:
    inputs = {"_type": "input_choice", "_value": {"candidates": ["x"] * 10_000, "n_chosen": 5_000}}
    space = SearchSpace({"inputs": inputs, "width": {"_type": "choice", "_value": [1, 2]}})
    start = time.process_time()
    assert len(next(space.neighbours(space.unrank(0)))["inputs"].value) == 5_000
    assert time.process_time() - start < 2


def test_neighbours_of_what_is_no_architecture_are_refused_at_once() -> None:
    with pytest.raises(ArchitectureError, match="key 'cell'"):
        TREE.neighbours({})
