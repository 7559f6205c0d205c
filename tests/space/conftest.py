"""What the tests of spaces share: enumeration by brute force, wrong documents made from right ones, and chi-square."""

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, combinations
from typing import Any

import pytest
from hypothesis import strategies as st

from raynas.space import Architecture, SearchSpace

Picks = frozenset[tuple[str, tuple[int, ...]]]


def _options(entry: Mapping[str, Any]) -> list[tuple[int, ...]]:
    if entry["_type"] != "input_choice":
        return [(index,) for index in range(len(entry["_value"]))]
    indices, n_chosen = range(len(entry["_value"]["candidates"])), entry["_value"]["n_chosen"]
    sizes = range(len(indices) + 1) if n_chosen is None else [n_chosen]
    return list(chain.from_iterable(combinations(indices, size) for size in sizes))


def _brute_force(space: SearchSpace) -> set[Picks]:
    """Every architecture of a space, found from its JSON document alone."""
    document, found = space.to_dict(), [{}]  # type: dict[str, Any], list[dict[str, tuple[int, ...]]]
    for key in sorted(document, key=lambda key: len(document[key].get("_when", {}))):  # ancestors first
        entry, extended = document[key], []
        for picks in found:
            when = entry.get("_when", {}).items()
            if all(parent in picks and picks[parent][0] in indices for parent, indices in when):
                extended += [picks | {key: option} for option in _options(entry)]
            else:
                extended.append(picks)
        found = extended
    assert len(found) == len({frozenset(picks.items()) for picks in found})
    return {frozenset(picks.items()) for picks in found}


_LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.sampled_from(["", "a", "_idx", "choice", "\0"])
_FIELDS = st.sampled_from(["a", "_type", "_value", "_idx", "_when"])
_JSON = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_FIELDS, inner), max_leaves=4)


def _mangle(data: st.DataObject, document: dict[str, Any]) -> dict[str, Any]:
    """The document with one to three things in it replaced, removed or added."""
    mangled = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        places = list(_places(mangled))
        if not places:
            break
        container, key = data.draw(st.sampled_from(places))
        action = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "replace":
            container[key] = data.draw(_JSON)
        elif action == "remove":
            del container[key]
        elif isinstance(container, list):
            container.append(data.draw(_JSON))
        else:
            container[data.draw(st.text(max_size=3))] = data.draw(_JSON)
    return mangled


def _places(node: Any) -> Iterable[tuple[Any, Any]]:
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        yield node, key
        yield from _places(value)


def _is_uniform(counts: Iterable[int]) -> bool:
    """Chi-square, accepted up to where 1 in 10,000 fair samples lies (Wilson and Hilferty's approximation)."""
    observed = list(counts)
    expected, freedom = sum(observed) / len(observed), len(observed) - 1
    chi_square = sum((count - expected) ** 2 / expected for count in observed)
    spread = 2 / (9 * freedom)
    return chi_square < freedom * (1 - spread + 3.719 * math.sqrt(spread)) ** 3


@pytest.fixture(scope="session")
def brute_force() -> Callable[[SearchSpace], set[Picks]]:
    return _brute_force


@pytest.fixture(scope="session")
def picks() -> Callable[[Architecture], Picks]:
    """An architecture in the form in which ``brute_force`` finds it."""
    return lambda architecture: frozenset(architecture.indices.items())


@pytest.fixture(scope="session")
def mangle() -> Callable[[st.DataObject, dict[str, Any]], dict[str, Any]]:
    return _mangle


@pytest.fixture(scope="session")
def is_uniform() -> Callable[[Iterable[int]], bool]:
    return _is_uniform
