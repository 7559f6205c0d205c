"""Architectures as vectors: one length, zeros and ones, no two alike."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynas.errors import ArchitectureError
from raynas.space import SearchSpace
from raynas.testing import example_spaces, search_spaces


def _inputs(candidates: list[str], n_chosen: int | None) -> dict[str, Any]:
    return {"_type": "input_choice", "_value": {"candidates": candidates, "n_chosen": n_chosen}}


SPACE = SearchSpace(
    {
        "op": {"_type": "layer_choice", "_value": ["conv", "skip", "skip"]},
        "inputs": _inputs(["x", "y"], None) | {"_when": {"op": [1, 2]}},
        "größe": {"_type": "choice", "_value": [8, 1.5]},
    }
)


def test_names_say_what_each_entry_means() -> None:
    assert SPACE.encoding_names == (
        *("op=conv", "op=skip[1]", "op=skip[2]"),
        *("inputs=x", "inputs=y"),
        *("größe=8", "größe=1.5"),
    )


def test_operators_are_one_hot_and_inputs_multi_hot() -> None:
    architecture = SPACE.validate({"op": {"_idx": 2}, "inputs": {"_idx": [0, 1]}, "größe": 1.5})
    assert SPACE.encode(architecture) == [0, 0, 1, 1, 1, 0, 1]
    assert all(type(entry) is float for entry in SPACE.encode(architecture))
    assert SPACE.encode(architecture.to_dict()) == SPACE.encode(architecture)


def test_no_inputs_and_an_inactive_key_are_told_apart_by_the_parent() -> None:
    inactive = SPACE.encode({"op": {"_idx": 0}, "größe": 8})
    none = SPACE.encode({"op": {"_idx": 1}, "inputs": {"_idx": []}, "größe": 8})
    assert inactive[3:] == none[3:] == [0, 0, 1, 0]
    assert inactive != none


def test_no_two_architectures_have_one_vector() -> None:
    for space in example_spaces():
        if space.size <= 3_000:
            vectors = {tuple(space.encode(architecture)) for architecture in space.enumerate()}
            assert len(vectors) == space.size


@given(search_spaces(), st.integers(0, 10_000))
def test_vectors_of_any_space_are_as_different_as_its_architectures(space: SearchSpace, seed: int) -> None:
    rng = Random(seed)
    drawn = [space.sample(rng) for _ in range(20)]
    assert len({tuple(space.encode(architecture)) for architecture in drawn}) == len({a.digest for a in drawn})


@given(search_spaces(), st.integers(0, 10_000))
def test_an_entry_is_one_exactly_where_its_candidate_is_picked(space: SearchSpace, seed: int) -> None:
    architecture = space.sample(Random(seed))
    vector, names = space.encode(architecture), list(space.encoding_names)
    assert len(vector) == len(names) == sum(len(domain.candidates) for domain in space.values())
    at = 0
    for key, domain in space.items():
        picked = architecture.indices.get(key, ())
        for index, candidate in enumerate(domain.candidates):
            assert vector[at] == (index in picked)
            assert names[at].startswith(f"{key}={candidate}")
            at += 1


def test_a_space_keeps_its_names() -> None:
    assert SPACE.encoding_names is SPACE.encoding_names


def test_what_is_no_architecture_is_refused() -> None:
    other = SearchSpace({"width": {"_type": "choice", "_value": [1]}})
    with pytest.raises(ArchitectureError, match="'width'"):
        SPACE.encode(other.unrank(0))


def test_the_names_of_the_example_spaces_are_unique() -> None:
    for space in example_spaces():
        assert len(set(space.encoding_names)) == len(space.encoding_names)
