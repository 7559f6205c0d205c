"""Search spaces to test with: a fixed list of thirty, and a hypothesis strategy that makes any number."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st

from raynas.space import CHOICE, INPUT_CHOICE, LAYER_CHOICE, SearchSpace

Document = dict[str, Any]
NUM_EXAMPLES = 30
_NAMES = ("conv3x3", "conv5x5", "maxpool", "skip", "zero", "sep3x3", "sep5x5")


def example_spaces() -> list[SearchSpace]:
    """Thirty search spaces, the same on every call and every machine.

    Among them: every kind of key; ``n_chosen`` of ``None``, 0, 1 and 2; numbers and names as candidates; conditions
    nested one to three deep; a single architecture, a single candidate, 10**30 architectures; candidates with one name;
    keys in other alphabets.

    Example:
        >>> from raynas.testing import example_spaces
        >>> len(example_spaces())
        30
    """
    corners = [SearchSpace(document) for document in _corners()]
    return corners + [SearchSpace(_generated(Random(number))) for number in range(NUM_EXAMPLES - len(corners))]


def _layer(candidates: Sequence[str], **when: list[int]) -> Document:
    return _with_conditions({"_type": LAYER_CHOICE, "_value": list(candidates)}, when)


def _inputs(candidates: Sequence[str], n_chosen: int | None, **when: list[int]) -> Document:
    return _with_conditions({"_type": INPUT_CHOICE, "_value": {"candidates": list(candidates), "n_chosen": n_chosen}}, when)


def _value(candidates: Sequence[str | int | float], **when: list[int]) -> Document:
    return _with_conditions({"_type": CHOICE, "_value": list(candidates)}, when)


def _with_conditions(domain: Document, when: dict[str, list[int]]) -> Document:
    return domain | ({"_when": when} if when else {})


def _corners() -> list[Document]:
    """What a generator would rarely hit."""
    return [
        {"only": _layer(["conv"])},
        {"only": _value([7]), "also": _inputs(["0"], 1), "none": _inputs(["0", "1"], 0)},
        {"coin": _value(["heads", "tails"])},
        {f"layer{i}": _layer(["a", "b", "c"]) for i in range(8)},
        {f"key{i}": _value(list(range(10))) for i in range(30)},
        {"any": _inputs(["x", "y", "z"], None)},
        {"none": _inputs(["x", "y"], 0), "all": _inputs(["x", "y"], 2), "one": _inputs(["x", "y", "z"], 1)},
        {"pair": _inputs(["a", "b", "c", "d", "e"], 2), "width": _value([0.5, 1, 1.5e-3, -2])},
        {"same": _layer(["conv", "conv", "pool"]), "inputs": _inputs(["x", "x", "y"], 2)},
        {"层": _layer(["卷积", "池化"]), "ключ": _value(["да", "нет"]), "🔑 with blanks": _value([1, 2]), "a.b/c": _value([1])},
        {"depth": _value([1, 2, 3]), "block1": _layer(["a", "b"], depth=[1, 2]), "block2": _layer(["a", "b"], depth=[2])},
        _three_deep(),
        {"child": _layer(["a", "b"], parent=[1]), "parent": _layer(["leaf", "node"])},
    ]


def _three_deep() -> Document:
    return {
        "cell": _layer(["plain", "branch", "mixed"]),
        "branch": _layer(["thin", "wide"], cell=[1, 2]),
        "width": _value([8, 16, 24], cell=[1, 2], branch=[1]),
        "inputs": _inputs(["x", "y", "z"], None, cell=[1, 2], branch=[1], width=[0, 2]),
        "activation": _layer(["relu", "gelu"]),
    }


def _generated(rng: Random) -> Document:
    """A space of 3 to 9 keys, about half of them with a condition."""
    document: Document = {}
    for number in range(rng.randint(3, 9)):
        domain = _random_domain(rng)
        parents = [key for key, entry in document.items() if entry["_type"] != INPUT_CHOICE and len(entry.get("_when", {})) < 3]
        if parents and rng.random() < 0.5:
            parent = rng.choice(parents)
            num_candidates = len(document[parent]["_value"])
            indices = sorted(rng.sample(range(num_candidates), rng.randint(1, num_candidates)))
            domain["_when"] = document[parent].get("_when", {}) | {parent: indices}
        document[f"key{number}"] = domain
    return document


def _random_domain(rng: Random) -> Document:
    names = [rng.choice(_NAMES) for _ in range(rng.randint(1, 4))]
    kind = rng.choice((LAYER_CHOICE, INPUT_CHOICE, CHOICE))
    if kind == LAYER_CHOICE:
        return _layer(names)
    if kind == INPUT_CHOICE:
        return _inputs(names, rng.choice([None, *range(min(2, len(names)) + 1)]))
    return _value(rng.sample(range(8, 80, 8), len(names)))


# --- the strategy ----------------------------------------------------------------------------------------------------

_TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=6)
_NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
_DEPTHS = st.integers(1, 4).map(lambda most: list(range(1, most + 1)))  # as a Repeat's


@st.composite
def _domains(draw: st.DrawFn) -> Document:
    kind = draw(st.sampled_from((LAYER_CHOICE, INPUT_CHOICE, CHOICE)))
    if kind == CHOICE:
        return _value(draw(_DEPTHS | st.lists(_NUMBERS | _TEXT, min_size=1, max_size=4)))
    names = draw(st.lists(_TEXT, min_size=1, max_size=4))
    return _layer(names) if kind == LAYER_CHOICE else _inputs(names, draw(st.none() | st.integers(0, len(names))))


def _conditions(num_candidates: int) -> st.SearchStrategy[list[int]]:
    """Indices of a parent: any, or from one on, as those of a depth at which a block is there."""
    index = st.integers(0, num_candidates - 1)
    return st.sets(index, min_size=1).map(sorted) | index.map(lambda first: list(range(first, num_candidates)))


@st.composite
def search_spaces(draw: st.DrawFn, max_keys: int = 6) -> SearchSpace:
    """A hypothesis strategy: search spaces of every kind of key, with conditions up to three deep.

    Conditions are on an operator or on a value, such as the depth from which on a block is there.

    Args:
        draw: given by hypothesis.
        max_keys: how many keys a space has at most.

    Example:
        >>> from hypothesis import given
        >>> from raynas.testing import search_spaces
        >>> @given(search_spaces())
        ... def test_something(space): ...
    """
    keys = draw(st.lists(_TEXT.filter(_is_key), min_size=1, max_size=max_keys, unique=True))
    document: Document = {}
    for key in keys:
        domain = draw(_domains())
        parents = [other for other, entry in document.items() if _may_be_parent(entry)]
        parent = draw(st.sampled_from([None, *parents]))
        if parent is not None:
            domain["_when"] = document[parent].get("_when", {}) | {parent: draw(_conditions(len(document[parent]["_value"])))}
        document[key] = domain
    order = draw(st.permutations(keys))  # a child may stand before its parent
    return SearchSpace({key: document[key] for key in order})


def _is_key(text: str) -> bool:
    return bool(text) and all(unicodedata.category(character) not in ("Cc", "Cs") for character in text)


def _may_be_parent(entry: Document) -> bool:
    return entry["_type"] != INPUT_CHOICE and len(entry.get("_when", {})) < 3
