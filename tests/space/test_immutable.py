"""Spaces, domains, architectures and choices: nothing about them changes, whoever holds them."""

import copy
import pickle
from random import Random
from typing import Any

import pytest

from raynas.space import SearchSpace
from raynas.space.immutable import Immutable, put
from raynas.testing import example_spaces

SPACE = example_spaces()[11]  # three deep, every kind of key
ARCHITECTURE = SPACE.unrank(SPACE.size - 1)
THINGS: dict[str, Any] = {
    "a space": SPACE,
    "a domain": SPACE["width"],
    "an input choice's domain": SPACE["inputs"],
    "an architecture": ARCHITECTURE,
    "a choice": ARCHITECTURE["cell"],
    "a choice of inputs": ARCHITECTURE["inputs"],
}
ATTRIBUTES = {
    "a space": ["size", "encoding_names", "_domains", "_forest", "new"],
    "a domain": ["key", "kind", "candidates", "n_chosen", "when", "num_options", "new"],
    "an architecture": ["space", "indices", "digest", "_indices", "_digest", "new"],
    "a choice": ["value", "indices", "new"],
}


@pytest.mark.parametrize(("name", "attribute"), [(name, attribute) for name, all_ in ATTRIBUTES.items() for attribute in all_])
def test_no_attribute_is_set_or_deleted(name: str, attribute: str) -> None:
    thing = THINGS[name]
    before = repr(thing), getattr(thing, attribute, None)
    with pytest.raises(AttributeError, match="immutable"):
        setattr(thing, attribute, None)
    with pytest.raises(AttributeError, match="immutable"):
        delattr(thing, attribute)
    assert (repr(thing), getattr(thing, attribute, None)) == before


@pytest.mark.parametrize("name", THINGS)
def test_a_copy_is_the_object_itself(name: str) -> None:
    thing = THINGS[name]
    assert copy.copy(thing) is thing
    assert copy.deepcopy(thing) is thing
    assert copy.deepcopy([thing])[0] is thing


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", THINGS)
def test_a_pickle_brings_back_an_equal_one(name: str, protocol: int) -> None:
    thing = THINGS[name]
    again = pickle.loads(pickle.dumps(thing, protocol))
    assert again is not thing
    assert again == thing
    assert type(again) is type(thing)
    assert again.to_dict() == thing.to_dict()


def test_what_is_computed_late_is_still_computed() -> None:
    space = SearchSpace(SPACE.to_dict())
    architecture = space.sample(Random(0))
    assert space.size == SPACE.size
    assert architecture.digest == architecture.digest
    assert space.encoding_names == SPACE.encoding_names


def test_only_put_fills_an_object() -> None:
    class Point(Immutable):
        __slots__ = ("x",)

    point = Point()
    put(point, "x", 3)
    assert point.x == 3  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="Point is immutable: its attribute 'x' cannot be set"):
        point.x = 4  # type: ignore[misc]
    with pytest.raises(AttributeError, match="Point is immutable: its attribute 'x' cannot be deleted"):
        del point.x
