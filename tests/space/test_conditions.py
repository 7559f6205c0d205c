"""Who is active under whom."""

import json
import math
from collections import Counter
from collections.abc import Callable
from itertools import islice
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, assume, find, given, settings
from hypothesis import strategies as st

from raynas.errors import SpaceError
from raynas.space import CHOICE, Architecture, Domain, SearchSpace
from raynas.space.conditions import Forest, product
from raynas.testing import search_spaces


def _layer(*candidates: str, **when: list[int]) -> dict[str, Any]:
    return {"_type": "layer_choice", "_value": list(candidates)} | ({"_when": when} if when else {})


TREE = {
    "leaf": _layer("x", "y", "z", root=[1], middle=[0, 1]),
    "root": _layer("a", "b"),
    "other": _layer("c", "d", "e"),
    "middle": _layer("p", "q", "r", root=[1]),
}


def _forest(document: dict[str, Any]) -> Forest:
    return Forest({key: Domain(key, entry) for key, entry in document.items()})


def test_parents_come_before_their_children() -> None:
    forest = _forest(TREE)
    assert forest.roots == ["root", "other"]
    assert forest.order == ["root", "other", "middle", "leaf"]


def test_ways_add_over_options_and_multiply_over_children() -> None:
    forest = _forest(TREE)
    assert {key: forest.ways(key) for key in TREE} == {"leaf": 3, "middle": 3 + 3 + 1, "root": 1 + 7, "other": 3}


def test_children_are_those_of_the_option() -> None:
    forest = _forest(TREE)
    assert [forest.children("root", (i,)) for i in range(2)] == [[], ["middle"]]
    assert [forest.children("middle", (i,)) for i in range(3)] == [["leaf"], ["leaf"], []]
    assert forest.children("other", (1,)) == []


def test_unrank_writes_the_key_and_all_below_it() -> None:
    forest, found = _forest(TREE), set()
    for number in range(forest.ways("root")):
        into: dict[str, tuple[int, ...]] = {}
        forest.unrank("root", number, into)
        found.add(tuple(sorted(into.items())))
    assert len(found) == 8
    assert (("root", (0,)),) in found


def test_what_is_left_open_is_completed_from_the_sources_in_turn() -> None:
    forest = _forest(TREE)
    root, other, middle, leaf = {"root": (1,)}, {"other": (2,)}, {"middle": (1,)}, {"leaf": (2,)}
    assert forest.complete({}, (root | other | middle | leaf,), None) == root | other | middle | leaf
    assert forest.complete(dict(root), (other,), None) == root | other | {"middle": (0,), "leaf": (0,)}
    assert forest.complete({"root": (0,)}, (other | middle | leaf,), None) == {"root": (0,)} | other
    assert forest.complete({}, (root | middle, other | {"root": (0,)}), None) == root | other | middle | {"leaf": (0,)}


def test_what_no_source_has_is_drawn_uniformly(is_uniform: Callable[..., bool]) -> None:
    forest, rng = _forest(TREE), Random(0)
    drawn = [forest.complete({"root": (1,)}, ({"other": (2,)},), rng) for _ in range(7_000)]
    counts = Counter(tuple(sorted(choices.items())) for choices in drawn)
    assert len(counts) == 7
    assert is_uniform(counts.values())


def test_way_0_takes_option_0_all_the_way_down() -> None:
    forest, into = _forest(TREE), {}  # type: ignore[var-annotated]
    forest.unrank("middle", 0, into)
    assert into == {"middle": (0,), "leaf": (0,)}


def test_samples_of_one_tree_are_uniform(is_uniform: Callable[..., bool]) -> None:
    forest, rng, counts = _forest(TREE), Random(2), Counter[Any]()
    for _ in range(8_000):
        into: dict[str, tuple[int, ...]] = {}
        forest.sample("root", rng, into)
        counts[tuple(sorted(into.items()))] += 1
    assert len(counts) == forest.ways("root") == 8
    assert is_uniform(counts.values())


@pytest.mark.parametrize("n", [0, 1, 2, 99, 100, 101, 1_000])
def test_the_product_is_exact(n: int) -> None:
    factors = [3**i + 1 for i in range(n)]
    assert product(factors) == math.prod(factors)


def test_a_shared_block_hangs_under_several_depths() -> None:
    space = SearchSpace(
        {
            "depth": {"_type": "choice", "_value": [1, 2, 3]},
            "block1": _layer("a", "b", depth=[0, 1, 2]),
            "block2": _layer("a", "b", depth=[1, 2]),
            "block3": _layer("a", "b", depth=[2]),
        }
    )
    assert space.size == 2 + 4 + 8


INPUTS = {"_type": "input_choice", "_value": {"candidates": ["a", "b"], "n_chosen": 1}}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a parent that is not there": ({"child": _layer("a", gone=[0])}, "'gone'"),
    "itself": ({"child": _layer("a", child=[0])}, "'child', which is not another key"),
    "an input choice as parent": ({"skip": INPUTS, "child": _layer("a", skip=[0])}, "input choice 'skip'"),
    "an index too large": ({"root": _layer("a", "b"), "child": _layer("a", root=[0, 2])}, "expected 0 to 1"),
    "a negative index": ({"root": _layer("a", "b"), "child": _layer("a", root=[-1])}, "expected 0 to 1"),
    "two parents side by side": (
        {"one": _layer("a"), "two": _layer("a"), "child": _layer("a", one=[0], two=[0])},
        "must repeat the conditions of its parent",
    ),
    "an ancestor left out": (
        {"root": _layer("a", "b"), "middle": _layer("a", root=[1]), "child": _layer("a", middle=[0])},
        "must repeat the conditions of its parent 'middle'",
    ),
    "an ancestor with other indices": (
        {"root": _layer("a", "b"), "middle": _layer("a", root=[1]), "child": _layer("a", root=[0, 1], middle=[0])},
        "must repeat the conditions of its parent 'middle'",
    ),
    "a ring": ({"child": _layer("a", ring=[0]), "ring": _layer("a", child=[0])}, "must repeat"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_forest_is_refused_by_key(name: str) -> None:
    document, said = WRONG[name]
    with pytest.raises(SpaceError) as raised:
        SearchSpace(document)
    assert "key 'child'" in str(raised.value)
    assert said in str(raised.value)


def test_ten_thousand_children_of_one_parent_are_drawn() -> None:
    document = {"root": _layer("a", "b")} | {f"child{i}": _layer("x", "y", root=[1]) for i in range(10_000)}
    space = SearchSpace(document)
    assert space.size == 1 + 2**10_000
    assert len(space.unrank(space.size - 1)) == 10_001
    assert len(space.unrank(0)) == 1


def test_a_chain_of_a_hundred_is_exact() -> None:
    document = {f"key{i:03}": _layer("stop", "go", **{f"key{j:03}": [1] for j in range(i)}) for i in range(100)}
    space = SearchSpace(document)
    assert space.size == 101
    assert sorted(len(architecture) for architecture in space.enumerate()) == [*range(1, 101), 100]


# --- every method honours the conditions -----------------------------------------------------------------------------


def _has_conditions(space: SearchSpace) -> bool:
    return any(domain.when for domain in space.values())


CONDITIONAL = search_spaces().filter(_has_conditions)


def _honour(space: SearchSpace, architectures: list[Architecture]) -> bool:
    """Said with the JSON documents alone: a key is there exactly where all of its ancestors pick what it needs."""
    conditions = {key: entry.get("_when", {}) for key, entry in json.loads(space.to_json()).items()}
    return all(
        (key in chosen) == all(parent in chosen and chosen[parent]["_idx"] in at for parent, at in when.items())
        for chosen in (architecture.to_dict() for architecture in architectures)
        for key, when in conditions.items()
    )


def test_conditions_on_depths_occur() -> None:
    """The parent is a choice, and its children are there from a depth on, as those of a Repeat are."""

    def is_repeat(space: SearchSpace) -> bool:
        return any(
            space[parent].kind == CHOICE and space[parent].candidates == (1, 2, 3) and at == (1, 2)
            for domain in space.values()
            for parent, at in domain.when.items()
        )

    find(search_spaces(), is_repeat, settings=settings(phases=[Phase.generate], max_examples=20_000, derandomize=True))


@given(CONDITIONAL, st.integers(0, 10_000))
def test_drawing_and_varying_honour_the_conditions(space: SearchSpace, seed: int) -> None:
    rng = Random(seed)
    mother, father = space.sample(rng), space.sample(rng)
    drawn = [mother, father, space.crossover(mother, father, rng), space.unrank(space.size - 1)]
    drawn += space.neighbours(mother)
    if any(space[key].num_options > 1 for key in father):
        drawn.append(space.mutate(father, rng))
    assert _honour(space, drawn)
    for architecture in drawn:
        assert space.validate(json.loads(architecture.to_json())) == architecture
        assert list(architecture) == [key for key in space if key in architecture]


@given(CONDITIONAL)
def test_enumeration_digest_and_encoding_honour_the_conditions(space: SearchSpace) -> None:
    every = list(islice(space.enumerate(), 60))
    assert _honour(space, every)
    num_different = min(60, space.size)
    assert len({architecture.digest for architecture in every}) == num_different
    assert len({tuple(space.encode(architecture)) for architecture in every}) == num_different


@given(CONDITIONAL, st.integers(0, 10_000))
def test_what_hangs_on_a_mutation_is_dropped_or_drawn_and_the_rest_kept(space: SearchSpace, seed: int) -> None:
    rng = Random(seed)
    parent = space.sample(rng)
    assume(any(space[key].num_options > 1 for key in parent))
    child = space.mutate(parent, rng)
    (changed,) = [key for key in child if key in parent and child.indices[key] != parent.indices[key]]
    assert child.indices[changed] in space[changed].neighbours(parent.indices[changed])
    for key in {*parent, *child} - {changed}:
        if changed not in space[key].when:
            assert child.indices[key] == parent.indices[key]
