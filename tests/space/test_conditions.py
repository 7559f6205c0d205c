"""Who is active under whom."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from raynas.errors import SpaceError
from raynas.space import Domain, SearchSpace
from raynas.space.conditions import Forest, below


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


@pytest.mark.parametrize("n", [1, 2, 7, 1 << 31, 1 << 32, 10**30])
def test_below_stays_below(n: int) -> None:
    rng = Random(0)
    drawn = [below(rng, n) for _ in range(1_000)]
    assert 0 <= min(drawn) <= max(drawn) < n
    assert len(set(drawn)) > 990 or n < 100
    assert max(drawn) >= n * 0.9 or n < 10


def test_below_is_uniform(is_uniform: Callable[..., bool]) -> None:
    rng, counts = Random(1), [0] * 7
    for _ in range(70_000):
        counts[below(rng, 7)] += 1
    assert is_uniform(counts)


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
