"""Search spaces: counted exactly, drawn uniformly, varied by one choice, read strictly."""

import pickle
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from raynas.errors import SpaceError
from raynas.space import Architecture, SearchSpace
from raynas.testing import example_spaces, search_spaces

SMALL = [space for space in example_spaces() if space.size <= 3_000]
Function = Callable[..., Any]
TREE = example_spaces()[11]  # three deep

# --- counting --------------------------------------------------------------------------------------------------------


def test_the_numbering_is_a_bijection_with_all_that_brute_force_finds(brute_force: Function, picks: Function) -> None:
    assert len(SMALL) > 25
    for space in SMALL:
        every = [picks(architecture) for architecture in space.enumerate()]
        assert len(every) == space.size
        assert set(every) == brute_force(space)


@given(search_spaces())
def test_any_space_is_counted_exactly(brute_force: Function, picks: Function, space: SearchSpace) -> None:
    assume(space.size <= 400)
    assert {picks(space.unrank(number)) for number in range(space.size)} == brute_force(space)
    assert space.size == len(brute_force(space))


def test_what_is_numbered_is_valid() -> None:
    for space in SMALL:
        for number in range(0, space.size, max(1, space.size // 50)):
            architecture = space.unrank(number)
            assert space.validate(architecture.to_dict()) == architecture
            assert list(architecture) == [key for key in space if key in architecture]


def test_the_last_key_varies_fastest() -> None:
    space = SearchSpace({"a": {"_type": "choice", "_value": [1, 2]}, "b": {"_type": "choice", "_value": ["x", "y", "z"]}})
    drawn = [tuple(choice.value for choice in architecture.values()) for architecture in space.enumerate()]
    assert drawn == [(1, "x"), (1, "y"), (1, "z"), (2, "x"), (2, "y"), (2, "z")]


def test_a_huge_space_is_numbered_to_its_end() -> None:
    space = example_spaces()[4]
    assert space.size == 10**30
    assert {choice.indices for choice in space.unrank(10**30 - 1).values()} == {(9,)}
    assert [space.unrank(123456789)[f"key{i}"].value for i in range(21, 30)] == list(range(1, 10))


@pytest.mark.parametrize("number", [-1, 0])
def test_a_number_out_of_range_is_refused(number: int) -> None:
    for space in (TREE, SearchSpace({str(i): {"_type": "choice", "_value": [1, 2, 3]} for i in range(10_000)})):
        with pytest.raises(IndexError, match="below the size"):
            space.unrank(number if number < 0 else space.size)


# --- drawing ---------------------------------------------------------------------------------------------------------


def test_samples_are_uniform(is_uniform: Function) -> None:
    for space in SMALL:
        if 1 < space.size < 100:
            rng = Random(5)
            counts = Counter(space.sample(rng).digest for _ in range(100 * space.size))
            assert len(counts) == space.size
            assert is_uniform(counts.values()), space


def test_samples_depend_on_the_generator_alone() -> None:
    for space in example_spaces():
        before = random.getstate()
        assert [space.sample(Random(3)) for _ in range(2)] == [space.sample(Random(3))] * 2
        assert random.getstate() == before


@given(search_spaces(), st.integers(0, 10_000))
def test_a_mutation_changes_one_choice_and_what_hangs_on_it(space: SearchSpace, seed: int) -> None:
    rng = Random(seed)
    parent = space.sample(rng)
    before = parent.to_json()
    if all(space[key].num_options == 1 for key in parent):
        with pytest.raises(SpaceError, match="nothing to mutate"):
            space.mutate(parent, rng)
        return
    child = space.mutate(parent, rng)
    assert space.validate(child.to_dict()) == child
    assert child != parent
    assert parent.to_json() == before
    changed = [key for key in child if key in parent and child.indices[key] != parent.indices[key]]
    assert len(changed) == 1
    assert all(changed[0] in space[key].when for key in set(child) ^ set(parent))


@pytest.mark.parametrize(("n_chosen", "distance"), [(None, 1), (1, 2), (2, 2)])
def test_one_input_is_swapped_added_or_removed(n_chosen: int | None, distance: int) -> None:
    space = SearchSpace({"skip": {"_type": "input_choice", "_value": {"candidates": list("abcd"), "n_chosen": n_chosen}}})
    rng = Random(0)
    for parent in space.enumerate():
        children = {space.mutate(parent, rng).indices["skip"] for _ in range(200)}
        expected = {option.indices["skip"] for option in space.enumerate() if _distance(option, parent) == distance}
        assert children == expected


def _distance(first: Architecture, second: Architecture) -> int:
    return len(set(first.indices["skip"]) ^ set(second.indices["skip"]))


def test_mutations_are_uniform_over_keys_and_options(is_uniform: Function) -> None:
    space = SearchSpace({key: {"_type": "layer_choice", "_value": ["a", "b", "c"]} for key in "uvwxyz"})
    rng, parent = Random(1), space.unrank(100)
    counts = Counter(space.mutate(parent, rng).digest for _ in range(12_000))
    assert len(counts) == 12
    assert is_uniform(counts.values())


@given(search_spaces(), st.integers(0, 10_000))
def test_a_crossover_takes_from_its_parents_only(space: SearchSpace, seed: int) -> None:
    rng = Random(seed)
    mother, father = space.sample(rng), space.sample(rng)
    child = space.crossover(mother, father, rng)
    assert space.validate(child.to_dict()) == child
    assert all(child.indices[key] in (mother.indices.get(key), father.indices.get(key)) for key in child)
    assert space.crossover(mother, mother, rng) == mother


def test_a_crossover_mixes_evenly(is_uniform: Function) -> None:
    space = SearchSpace({key: {"_type": "choice", "_value": [1, 2]} for key in "abc"})
    rng, mother, father = Random(1), space.unrank(0), space.unrank(7)
    counts = Counter(space.crossover(mother, father, rng).digest for _ in range(8_000))
    assert len(counts) == 8
    assert is_uniform(counts.values())


# --- documents -------------------------------------------------------------------------------------------------------


@given(search_spaces())
def test_json_brings_back_the_same(space: SearchSpace) -> None:
    for text in (space.to_json(), space.to_json().encode()):
        again = SearchSpace.from_json(text)
        assert again == space
        assert again.to_json() == space.to_json()
        assert list(again) == list(space)


def test_files_and_pickles_bring_back_the_same(tmp_path: Path) -> None:
    for space in example_spaces():
        space.save(tmp_path / "space.json")
        assert SearchSpace.load(tmp_path / "space.json") == space
        assert pickle.loads(pickle.dumps(space)).to_json() == space.to_json()


def test_letters_stay_themselves() -> None:
    assert '"卷积"' in example_spaces()[9].to_json()


def test_to_dict_is_fresh() -> None:
    before = TREE.to_json()
    taken = TREE.to_dict()
    taken["width"]["_value"].append(99)
    taken["width"]["_when"]["cell"].append(99)
    del taken["cell"]
    assert TREE.to_json() == before


def test_nothing_in_it_can_be_changed() -> None:
    with pytest.raises(TypeError):
        TREE["cell"] = TREE["width"]  # type: ignore[index]
    with pytest.raises(TypeError):
        del TREE["cell"]  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        TREE["width"]["_when"]["cell"] = (0,)


WRONG: dict[str, tuple[Any, str]] = {
    "a list": ([], "list"),
    "no keys": ({}, "no keys"),
    "an empty key": ({"": {"_type": "choice", "_value": [1]}}, "key ''"),
    "a number as key": ({3: {"_type": "choice", "_value": [1]}}, "key 3"),
    "a tab in a key": ({"a\tb": {"_type": "choice", "_value": [1]}}, "control characters"),
    "a newline in a key": ({"a\n": {"_type": "choice", "_value": [1]}}, "control characters"),
    "a lone surrogate in a key": ({"\udc80": {"_type": "choice", "_value": [1]}}, "surrogates"),
    "a wrong domain": ({"good": {"_type": "choice", "_value": [1]}, "bad": {"_type": "choice", "_value": []}}, "key 'bad'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_space_is_refused(name: str) -> None:
    document, said = WRONG[name]
    with pytest.raises(SpaceError) as raised:
        SearchSpace(document)
    assert said in str(raised.value)


def test_as_a_value() -> None:
    again = SearchSpace(TREE.to_dict())
    assert again == TREE == TREE.to_dict()
    turned = SearchSpace(dict(reversed(TREE.to_dict().items())))
    assert turned == TREE
    assert hash(again) == hash(turned) == hash(TREE)
    assert example_spaces()[0] != TREE


def test_it_contains_what_it_accepts() -> None:
    architecture = TREE.unrank(3)
    assert TREE.contains(architecture)
    assert TREE.contains(architecture.to_dict())
    assert SearchSpace(TREE.to_dict()).contains(architecture)
    assert not example_spaces()[0].contains(architecture)
    assert not any(TREE.contains(wrong) for wrong in ({"cell": {"_idx": 7}}, {}, None, "cell", [1]))  # type: ignore[arg-type]


def test_as_a_mapping_it_is_about_keys() -> None:
    assert list(TREE) == list(TREE.keys()) == [key for key, _ in TREE.items()] == [domain.key for domain in TREE.values()]
    assert "cell" in TREE
    assert "gone" not in TREE
    assert TREE.get("gone") is None
    with pytest.raises(TypeError):
        TREE.items().mapping["cell"] = TREE["width"]  # type: ignore[attr-defined]
