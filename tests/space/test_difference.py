"""What makes one space different from another."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynas.errors import SpaceError
from raynas.space import KeyChange, SearchSpace, SpaceDifference
from raynas.testing import example_spaces, search_spaces

DOCUMENT: dict[str, Any] = {
    "op": {"_type": "layer_choice", "_value": ["conv", "pool", "conv"]},
    "width": {"_type": "choice", "_value": [8, 16], "_when": {"op": [0, 2]}},
    "skip": {"_type": "input_choice", "_value": {"candidates": ["x", "y", "z"], "n_chosen": 1}},
}
SPACE = SearchSpace(DOCUMENT)


def _with(key: str, **fields: Any) -> SearchSpace:
    document = copy.deepcopy(DOCUMENT)
    document[key] |= fields
    return SearchSpace(document)


CHANGED: dict[str, tuple[SearchSpace, list[KeyChange], str]] = {
    "candidates": (
        _with("op", _value=["conv", "skip", "conv", "zero"]),
        [KeyChange("op", "candidates", ("conv", "pool", "conv"), ("conv", "skip", "conv", "zero"))],
        "key 'op': candidates 'pool' removed, 'skip', 'zero' added",
    ),
    "one of two candidates of a name": (
        SearchSpace({"op": {"_type": "choice", "_value": ["a", "a"]}}),
        [KeyChange("op", "candidates", ("a", "a"), ("a",))],
        "key 'op': candidates 'a' removed",
    ),
    "the order of candidates": (
        _with("width", _value=[16, 8]),
        [KeyChange("width", "candidates", (8, 16), (16, 8))],
        "key 'width': candidates in another order: [8, 16], now [16, 8]",
    ),
    "kind": (
        _with("op", _type="choice"),
        [KeyChange("op", "kind", "layer_choice", "choice")],
        "key 'op': kind 'layer_choice', now 'choice'",
    ),
    "n_chosen": (
        _with("skip", _value={"candidates": ["x", "y", "z"], "n_chosen": None}),
        [KeyChange("skip", "n_chosen", 1, None)],
        "key 'skip': n_chosen 1, now None",
    ),
    "when": (
        _with("width", _when={"op": [1]}),
        [KeyChange("width", "when", (("op", (0, 2)),), (("op", (1,)),))],
        "key 'width': when {'op': [0, 2]}, now {'op': [1]}",
    ),
    "no condition any more": (
        _with("width", _when={}),
        [KeyChange("width", "when", (("op", (0, 2)),), ())],
        "key 'width': when {'op': [0, 2]}, now always",
    ),
    "several things at once": (
        _with("skip", _type="choice", _value=[3]),
        [
            KeyChange("skip", "kind", "input_choice", "choice"),
            KeyChange("skip", "candidates", ("x", "y", "z"), (3,)),
        ],
        "key 'skip': kind 'input_choice', now 'choice'\nkey 'skip': candidates 'x', 'y', 'z' removed, 3 added",
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_changed_is_told_by_key(name: str) -> None:
    after, changed, text = CHANGED[name]
    before = SearchSpace({"op": {"_type": "choice", "_value": ["a"]}}) if len(after) == 1 else SPACE
    found = after.diff(before) if len(after) == 1 else before.diff(after)
    assert found == SpaceDifference(added=(), removed=(), changed=tuple(changed))
    assert str(found) == text
    assert found


def test_keys_are_added_and_removed() -> None:
    document = {key: DOCUMENT[key] for key in ("op", "skip")} | {f"new{i}": DOCUMENT["op"] for i in (2, 1)}
    found = SPACE.diff(SearchSpace(document))
    assert found == SpaceDifference(added=("new2", "new1"), removed=("width",), changed=())
    assert str(found) == "key 'width': removed\nkey 'new2': added\nkey 'new1': added"
    assert SearchSpace(document).diff(SPACE) == SpaceDifference(added=("width",), removed=("new2", "new1"), changed=())


def test_equal_spaces_have_no_difference() -> None:
    for space in example_spaces():
        turned = SearchSpace(dict(reversed(space.to_dict().items())))  # the order is no difference, as for ==
        assert turned == space
        assert not space.diff(turned)
        assert str(space.diff(turned)) == "no difference"


@given(st.data(), search_spaces())
def test_it_is_falsy_exactly_where_the_spaces_are_equal(
    mangle: Callable[..., Any], data: st.DataObject, space: SearchSpace
) -> None:
    try:
        other = SearchSpace(mangle(data, space.to_dict()))
    except SpaceError:
        other = data.draw(search_spaces())
    found, back = space.diff(other), other.diff(space)
    assert bool(found) == bool(back) == (space != other)
    assert (found.added, found.removed) == (back.removed, back.added)
    named = {*found.added, *found.removed, *(change.key for change in found.changed)}
    assert named == {key for key in {*space, *other} if space.to_dict().get(key) != other.to_dict().get(key)}
    assert str(found).count("\n") + 1 >= len(named)


def test_it_is_a_value() -> None:
    found = CHANGED["when"][0].diff(SPACE)
    assert pickle.loads(pickle.dumps(found)) == found
    assert hash(found) == hash(CHANGED["when"][0].diff(SPACE))
    with pytest.raises(FrozenInstanceError):
        found.added = ("a",)  # type: ignore[misc]


def test_many_candidates_make_a_short_line() -> None:
    before = SearchSpace({"op": {"_type": "choice", "_value": list(range(10_000))}})
    after = SearchSpace({"op": {"_type": "choice", "_value": list(range(10_000, 20_000))}})
    assert len(str(before.diff(after))) < 300
