"""Documents of architectures: the quick reading and the careful one come to the same, and neither hangs."""

import json
import time
from collections.abc import Callable
from random import Random
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raynas.errors import ArchitectureError
from raynas.space import Architecture, SearchSpace
from raynas.space.reading import read_choices, read_masks
from raynas.testing import example_spaces, search_spaces

FUZZ = settings(max_examples=max(100, settings().max_examples))


def _inputs(candidates: list[str], n_chosen: int | None) -> dict[str, Any]:
    return {"_type": "input_choice", "_value": {"candidates": candidates, "n_chosen": n_chosen}}


def _outcome(space: SearchSpace, document: Any) -> Any:
    try:
        return read_choices(space, document)
    except ArchitectureError as error:
        return str(error)


@FUZZ
@given(st.data(), search_spaces(), st.integers(0, 100))
def test_quick_and_careful_reading_agree(
    mangle: Callable[..., Any], data: st.DataObject, space: SearchSpace, seed: int
) -> None:
    written = space.sample(Random(seed)).to_dict()
    mangled = data.draw(st.booleans())
    document = mangle(data, written) if mangled else written
    careful = MappingProxyType(document)  # no dict: never read quickly
    assert _outcome(space, document) == _outcome(space, careful)
    if not mangled:
        assert list(read_choices(space, document)) == [key for key in space if key in document]


def test_every_architecture_is_read_as_it_was_written() -> None:
    for space in example_spaces():
        for number in range(0, space.size, max(1, space.size // 20)):
            architecture = space.unrank(number)
            document = json.loads(architecture.to_json())
            assert read_choices(space, document) == dict(architecture.indices)
            assert read_choices(space, MappingProxyType(document)) == dict(architecture.indices)
            assert read_choices(space, architecture) == dict(architecture.indices)


@pytest.mark.nightly
@FUZZ
@given(st.data(), search_spaces(), st.integers(0, 100))
def test_a_key_too_many_or_too_few_is_named(data: st.DataObject, space: SearchSpace, seed: int) -> None:
    architecture = space.sample(Random(seed))
    document = architecture.to_dict()
    key = data.draw(st.sampled_from(list(space)))
    if key in document:
        del document[key]
    else:
        document[key] = {"_idx": list(space[key].option(0)) if space[key].kind == "input_choice" else 0}
    with pytest.raises(ArchitectureError) as raised:
        space.validate(document)
    assert repr(key) in str(raised.value)
    assert not space.contains(document)


def test_values_are_found_by_what_they_equal() -> None:
    space = SearchSpace({"width": {"_type": "choice", "_value": [8, 16, 2.5, "auto"]}})
    for found in (16, 16.0, np.int64(16), np.float32(16)):
        assert read_choices(space, {"width": found}) == {"width": (1,)}
    for found in (np.float64(2.5), {"_value": 2.5}, {"_value": 2.5, "_idx": None}):
        assert read_choices(space, {"width": found}) == {"width": (2,)}
    for wrong in ([16], {"_value": {}}, (16, [1]), None, float("nan"), 10**5_000):
        with pytest.raises(ArchitectureError, match="key 'width'"):
            read_choices(space, {"width": wrong})


def test_inputs_are_found_by_name_even_among_a_hundred_thousand() -> None:
    names = [f"input {i}" for i in range(100_000)]
    space = SearchSpace({"skip": _inputs(names, None)})
    start = time.process_time()
    assert read_choices(space, {"skip": {"_value": names}}) == {"skip": tuple(range(100_000))}
    assert read_choices(space, {"skip": {"_value": names[::-1]}}) == {"skip": tuple(range(100_000))}
    assert time.process_time() - start < 5


DEEP: dict[str, Callable[[str], dict[str, str]]] = {
    "a choice": lambda deep: {"op": deep, "skip": '{"_idx": [0]}'},
    "a _value": lambda deep: {"op": f'{{"_value": {deep}}}', "skip": '{"_idx": [0]}'},
    "a contradicting _value": lambda deep: {"op": f'{{"_value": {deep}, "_idx": 0}}', "skip": '{"_idx": [0]}'},
    "an _idx": lambda deep: {"op": f'{{"_idx": {deep}}}', "skip": '{"_idx": [0]}'},
    "inputs": lambda deep: {"op": '{"_idx": 0}', "skip": f'{{"_value": {deep}}}'},
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_lists_in_lists_of_any_depth_are_refused(name: str, brackets: str) -> None:
    space = SearchSpace({"op": {"_type": "layer_choice", "_value": ["a", "b"]}, "skip": _inputs(["x", "y"], 1)})
    opening, closing = (brackets[:1], brackets[1:]) if brackets == "[]" else (brackets[:-1], "}")
    for depth in (1, 10, 100, *range(800, 1_010, 3), 5_000, 100_000):  # around where Python's parser gives up, too
        entries = DEEP[name](opening * depth + "0" + closing * depth)
        with pytest.raises(ArchitectureError) as raised:
            Architecture.from_json(space, "{" + ", ".join(f'"{key}": {entry}' for key, entry in entries.items()) + "}")
        assert len(str(raised.value)) < 1_000


def test_masks_are_read_as_a_document() -> None:
    space = example_spaces()[11]  # three deep
    masks = {key: [False] * len(domain.candidates) for key, domain in space.items()}
    for key in ("cell", "branch", "width", "activation"):
        masks[key][1] = True
    assert read_masks(space, masks) == {key: {"_idx": 1} for key in ("cell", "branch", "width", "activation")}
    masks["width"] = [1, 0, 0]
    assert read_masks(space, masks)["inputs"] == {"_idx": []}
    with pytest.raises(ArchitectureError, match="'gone' is not in the search space"):
        read_masks(space, masks | {"gone": [1]})


@pytest.mark.parametrize("exported", [None, 3, [True, False]])
def test_an_export_is_a_mapping(exported: Any) -> None:
    with pytest.raises(ArchitectureError, match="an export is a mapping from key to mask; found"):
        read_masks(example_spaces()[0], exported)
