"""Whatever JSON is read, what comes out is a valid object or an error that names the key."""

import json
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from raynas.errors import ArchitectureError, SpaceError
from raynas.space import Architecture, SearchSpace
from raynas.testing import search_spaces

FUZZ = settings(max_examples=max(100, settings().max_examples))
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)


def _inner(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.sampled_from(["_type", "_value", "_when", "candidates", "n_chosen"]) | st.text(max_size=2)
    kinds = st.sampled_from(["layer_choice", "input_choice", "choice"])
    domains = st.fixed_dictionaries({"_type": kinds, "_value": leaves}, optional={"_when": leaves})
    return st.lists(leaves, max_size=4) | st.dictionaries(fields, leaves, max_size=4) | domains


def _names_one(message: str, keys: Iterable[str]) -> bool:
    """Whether the message begins with a key; NaN, infinity and repeats are refused before there are keys."""
    return message.startswith("the document holds ") or any(message.startswith(f"key {key!r}") for key in keys)


def _read_space(document: dict[str, Any]) -> SearchSpace | str:
    try:
        return SearchSpace.from_json(json.dumps(document))
    except SpaceError as error:
        return str(error)


def _check_space(document: dict[str, Any]) -> None:
    found = _read_space(document)
    if isinstance(found, str):
        assert _names_one(found, document) or not document
        return
    again = SearchSpace.from_json(found.to_json())
    assert again == found
    assert again.to_json() == found.to_json()
    assert list(again) == list(document)
    assert found.contains(found.sample(Random(0)).to_dict())


@FUZZ
@given(st.data(), search_spaces())
def test_a_mangled_document_is_a_space_or_an_error(mangle: Callable[..., Any], data: st.DataObject, space: SearchSpace) -> None:
    _check_space(mangle(data, space.to_dict()))


@FUZZ
@given(st.dictionaries(st.text(max_size=4), st.recursive(_LEAVES, _inner, max_leaves=8), max_size=4))
def test_any_json_is_a_space_or_an_error(document: dict[str, Any]) -> None:
    _check_space(document)


@FUZZ
@given(st.data(), search_spaces())
def test_a_mangled_text_is_a_space_or_an_error(data: st.DataObject, space: SearchSpace) -> None:
    try:
        found = SearchSpace.from_json(_mangle_text(data, space.to_json()))
    except SpaceError:
        return
    assert SearchSpace.from_json(found.to_json()) == found


def _mangle_text(data: st.DataObject, text: str) -> str:
    at, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 9))
    return text[:at] + data.draw(st.text(max_size=5)) + text[at + length :]


def _read_architecture(space: SearchSpace, document: dict[str, Any]) -> Architecture | str:
    try:
        return Architecture.from_json(space, json.dumps(document))
    except ArchitectureError as error:
        return str(error)


def _check_architecture(space: SearchSpace, document: dict[str, Any]) -> None:
    found = _read_architecture(space, document)
    if isinstance(found, str):
        assert _names_one(found, {*document, *space})
        return
    again = Architecture.from_json(space, found.to_json())
    assert again == found
    assert again.to_json() == found.to_json()
    assert space.contains(found)


@FUZZ
@given(st.data(), search_spaces(), st.integers(0, 100))
def test_a_mangled_document_is_an_architecture_or_an_error(
    mangle: Callable[..., Any], data: st.DataObject, space: SearchSpace, seed: int
) -> None:
    _check_architecture(space, mangle(data, space.sample(Random(seed)).to_dict()))


@FUZZ
@given(st.data(), search_spaces())
def test_any_json_is_an_architecture_or_an_error(data: st.DataObject, space: SearchSpace) -> None:
    fields = st.sampled_from(["_value", "_idx", "_idex"])
    leaves = _LEAVES | st.integers(0, 3)
    entries = leaves | st.dictionaries(fields, leaves | st.lists(leaves, max_size=4), max_size=3)
    keys = st.sampled_from(list(space)) | st.text(max_size=3)
    _check_architecture(space, data.draw(st.dictionaries(keys, entries, max_size=6)))


@FUZZ
@given(st.data(), search_spaces())
def test_a_mangled_text_is_an_architecture_or_an_error(data: st.DataObject, space: SearchSpace) -> None:
    text = space.sample(Random(0)).to_json()
    try:
        architecture = Architecture.from_json(space, _mangle_text(data, text))
    except ArchitectureError:
        return
    assert Architecture.from_json(space, architecture.to_json()) == architecture
