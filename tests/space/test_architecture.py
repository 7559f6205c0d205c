"""Architectures: read leniently, written strictly, told apart by their digest."""

import hashlib
import json
import pickle
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynas.errors import ArchitectureError
from raynas.space import Architecture, SearchSpace
from raynas.testing import example_spaces, search_spaces

SPACE = SearchSpace(
    {
        "op": {"_type": "layer_choice", "_value": ["conv", "pool", "conv"]},
        "größe": {"_type": "choice", "_value": [8, 1.5, "auto"], "_when": {"op": [1, 2]}},
        "two": {"_type": "input_choice", "_value": {"candidates": ["x", "y", "x"], "n_chosen": 2}},
        "any": {"_type": "input_choice", "_value": {"candidates": ["x", "y"], "n_chosen": None}},
    }
)
GOOD: dict[str, Any] = {
    "op": {"_value": "pool", "_idx": 1},
    "größe": {"_value": 1.5, "_idx": 1},
    "two": {"_value": ["x", "y"], "_idx": [0, 1]},
    "any": {"_value": [], "_idx": []},
}


def _with(key: str, entry: Any) -> dict[str, Any]:
    return GOOD | {key: entry}


def _without(*keys: str) -> dict[str, Any]:
    return {key: entry for key, entry in GOOD.items() if key not in keys}


# --- reading ---------------------------------------------------------------------------------------------------------

LENIENT = {
    "as written": (GOOD, GOOD),
    "_idex for _idx": (_with("op", {"_value": "pool", "_idex": 1}), GOOD),
    "_idx alone": (_with("op", {"_idx": 1}), GOOD),
    "_value alone": (_with("op", {"_value": "pool"}), GOOD),
    "a bare number for a choice": (_with("größe", 1.5), GOOD),
    "a bare name for a choice": (_with("größe", "auto"), _with("größe", {"_value": "auto", "_idx": 2})),
    "inputs by name": (_with("any", {"_value": ["y", "x"]}), _with("any", {"_value": ["x", "y"], "_idx": [0, 1]})),
    "inputs in any order": (_with("two", {"_idx": [2, 1]}), _with("two", {"_value": ["y", "x"], "_idx": [1, 2]})),
    "one name twice, told by _idx": (
        _with("two", {"_idx": [0, 2]}),
        _with("two", {"_value": ["x", "x"], "_idx": [0, 2]}),
    ),
    "keys in any order": (dict(reversed(GOOD.items())), GOOD),
}


@pytest.mark.parametrize("name", LENIENT)
def test_it_is_read_leniently_and_written_strictly(name: str) -> None:
    found, written = LENIENT[name]
    architecture = Architecture.from_dict(SPACE, found)
    assert architecture.to_dict() == written
    assert list(architecture) == list(SPACE)


WRONG: dict[str, tuple[Any, str, str]] = {
    "an unknown key": (_with("gone", {"_idx": 0}), "gone", "not in the search space"),
    "a missing key": (_without("two"), "two", "missing"),
    "a missing key that its parent made active": (_without("größe"), "größe", "missing"),
    "a key that is not active": (_with("op", {"_idx": 0}), "größe", "not active"),
    "an index too large": (_with("op", {"_idx": 3}), "op", "expected 0 to 2"),
    "a negative index": (_with("op", {"_idx": -1}), "op", "expected 0 to 2"),
    "a boolean index": (_with("op", {"_idx": True}), "op", "_idx is True"),
    "a fractional index": (_with("op", {"_idx": 1.0}), "op", "_idx is 1.0"),
    "a name for an index": (_with("op", {"_idx": "1"}), "op", "_idx is '1'"),
    "a list for one index": (_with("op", {"_idx": [1]}), "op", "_idx is [1]"),
    "a contradiction": (_with("op", {"_value": "conv", "_idx": 1}), "op", "but _idx 1 means"),
    "a contradiction in inputs": (_with("two", {"_value": ["y", "x"], "_idx": [0, 1]}), "two", "but _idx"),
    "an unknown candidate": (_with("op", {"_value": "gelu"}), "op", "no candidate"),
    "a candidate of two meanings": (_with("op", {"_value": "conv"}), "op", "give _idx"),
    "both spellings": (_with("op", {"_idx": 1, "_idex": 1}), "op", "expected _value and _idx"),
    "an unknown field": (_with("op", {"_idx": 1, "_id": 1}), "op", "expected _value and _idx"),
    "no field": (_with("op", {}), "op", "expected _value and _idx"),
    "a bare value for a layer": (_with("op", "pool"), "op", "expected an object"),
    "bare inputs": (_with("any", ["x"]), "any", "expected an object"),
    "an unknown bare value": (_with("größe", 9), "größe", "no candidate"),
    "null": (_with("größe", None), "größe", "no candidate"),
    "too few inputs": (_with("two", {"_idx": [1]}), "two", "1 inputs chosen; expected 2"),
    "too many inputs": (_with("two", {"_idx": [0, 1, 2]}), "two", "3 inputs chosen; expected 2"),
    "a repeated input": (_with("two", {"_idx": [1, 1]}), "two", "repeated"),
    "a repeated input of any number": (_with("any", {"_value": ["x", "x"]}), "any", "repeated"),
    "an input out of range": (_with("any", {"_idx": [2]}), "any", "expected 0 to 1"),
    "one input without a list": (_with("any", {"_idx": 0}), "any", "expected a list"),
    "one name without a list": (_with("any", {"_value": "x"}), "any", "expected a list"),
    "a control character in a key": (_with("op\t", {"_idx": 1}), "op\\t", "not in the search space"),
    "a list": ([GOOD], "list", "mapping"),
    "nothing": (None, "NoneType", "mapping"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_said_with_the_key(name: str) -> None:
    found, named, said = WRONG[name]
    with pytest.raises(ArchitectureError) as raised:
        Architecture.from_dict(SPACE, found)
    assert named in str(raised.value)
    assert said in str(raised.value)
    assert not SPACE.contains(found)


def test_an_unknown_value_lists_the_known_ones() -> None:
    with pytest.raises(ArchitectureError, match=r"key 'op': 'gelu' is no candidate; expected one of 'conv', 'pool', 'conv'"):
        SPACE.validate(_with("op", {"_value": "gelu"}))


# --- writing ---------------------------------------------------------------------------------------------------------


@given(search_spaces(), st.integers(0, 1_000))
def test_json_brings_back_the_same(space: SearchSpace, seed: int) -> None:
    architecture = space.sample(Random(seed))
    again = Architecture.from_json(space, architecture.to_json())
    assert again == architecture
    assert again.to_json() == architecture.to_json()
    assert again.digest == architecture.digest


def test_files_are_utf8_with_letters_as_they_are(tmp_path: Path) -> None:
    architecture = SPACE.validate(GOOD)
    architecture.save(tmp_path / "architecture.json")
    assert '"größe"'.encode() in (tmp_path / "architecture.json").read_bytes()
    assert Architecture.load(SPACE, tmp_path / "architecture.json") == architecture


def test_it_survives_pickle() -> None:
    for space in example_spaces():
        architecture = space.sample(Random(1))
        again = pickle.loads(pickle.dumps(architecture))
        assert (again, again.digest, again.space) == (architecture, architecture.digest, space)


def test_to_dict_is_fresh() -> None:
    architecture = SPACE.validate(GOOD)
    taken = architecture.to_dict()
    taken["two"]["_idx"].append(2)
    taken["op"]["_value"] = "conv"
    del taken["any"]
    assert architecture.to_dict() == GOOD


def test_what_it_was_read_from_is_not_kept() -> None:
    found = json.loads(json.dumps(GOOD))
    architecture = SPACE.validate(found)
    found["two"]["_idx"][:] = [1, 2]
    assert architecture.to_dict() == GOOD


def test_nothing_in_it_can_be_changed() -> None:
    architecture = SPACE.validate(GOOD)
    with pytest.raises(TypeError):
        architecture["op"] = architecture["any"]  # type: ignore[index]
    with pytest.raises(TypeError):
        architecture["op"]["_idx"] = 2  # type: ignore[index]
    with pytest.raises(TypeError):
        architecture.indices["op"] = (2,)  # type: ignore[index]
    assert type(architecture["two"]["_value"]) is type(architecture["two"]["_idx"]) is tuple


# --- the digest ------------------------------------------------------------------------------------------------------


def test_the_digest_is_sha256_of_the_sorted_choices() -> None:
    for space in example_spaces():
        architecture = space.sample(Random(2))
        lines = b""
        for key, entry in sorted(json.loads(architecture.to_json()).items()):
            indices = entry["_idx"] if isinstance(entry["_idx"], list) else [entry["_idx"]]
            lines += key.encode() + b"\t" + b",".join(str(index).encode() for index in indices) + b"\n"
        assert architecture.digest == hashlib.sha256(lines).hexdigest()[:32]


def test_the_digest_never_changes() -> None:
    assert SPACE.validate(GOOD).digest == "31bb0c367d56fe76c22d5788509de479"


def test_neither_the_order_of_keys_nor_the_names_of_candidates_matter() -> None:
    document = SPACE.to_dict()
    turned = SearchSpace(dict(reversed(document.items())))
    document["op"]["_value"] = ["a", "b", "c"]
    renamed = SearchSpace(document)
    indices = {key: {"_idx": entry["_idx"]} for key, entry in GOOD.items()}
    assert len({space.validate(indices).digest for space in (SPACE, turned, renamed)}) == 1


def test_different_choices_have_different_digests() -> None:
    for space in example_spaces():
        if space.size < 500:
            assert len({architecture.digest for architecture in space.enumerate()}) == space.size


# --- as a value ------------------------------------------------------------------------------------------------------


def test_equal_ones_are_interchangeable() -> None:
    first, second = SPACE.validate(GOOD), SPACE.validate(json.loads(json.dumps(GOOD)))
    other = SPACE.validate(_with("any", {"_idx": [1]}))
    assert first == second == GOOD
    assert len({first, second, other}) == 2
    assert first != other
    assert first != 3


def test_it_reads_like_its_json() -> None:
    architecture = SPACE.validate(GOOD)
    assert (architecture["op"].value, architecture["op"]["_value"], architecture["op"]["_idx"]) == ("pool", "pool", 1)
    assert (architecture["two"].value, architecture["two"].indices) == (("x", "y"), (0, 1))
    assert "größe" in architecture
    assert "größe" not in SPACE.validate(_without("größe") | {"op": {"_idx": 0}})
    with pytest.raises(KeyError):
        architecture["op"]["_idex"]


def test_its_own_space_takes_it_as_it_is() -> None:
    architecture = SPACE.validate(GOOD)
    assert SPACE.validate(architecture) is architecture
    assert SearchSpace(SPACE.to_dict()).validate(architecture) == architecture
    with pytest.raises(ArchitectureError, match="op"):
        SearchSpace({"width": {"_type": "choice", "_value": [1]}}).validate(architecture)


# --- export() --------------------------------------------------------------------------------------------------------

MASKS: dict[str, Any] = {"op": [False, True, False], "größe": [0, 1, 0], "two": [1.0, 1.0, 0.0], "any": [False, False]}


class Tensor:
    """Has ``tolist``, like arrays and tensors."""

    def __init__(self, entries: list[Any]) -> None:
        self.tolist = lambda: entries


def test_masks_of_an_export_are_read() -> None:
    assert Architecture.from_export(SPACE, MASKS) == GOOD
    assert Architecture.from_export(SPACE, {key: Tensor(mask) for key, mask in MASKS.items()}) == GOOD


def test_inactive_keys_of_an_export_are_left_out() -> None:
    architecture = Architecture.from_export(SPACE, MASKS | {"op": [1, 0, 0]})
    assert "größe" not in architecture


@pytest.mark.parametrize(
    ("key", "mask", "said"),
    [
        ("op", [1, 0], "mask of 3"),
        ("op", [1, 0, 0, 0], "mask of 3"),
        ("op", [0.9, 0.1, 0.0], "mask of 3"),
        ("op", [1, 1, 0], "selects 2 candidates; expected exactly one"),
        ("op", [0, 0, 0], "selects 0 candidates"),
        ("op", 1, "mask of 3"),
        ("op", "abc", "mask of 3"),
        ("two", [1, 0, 0], "1 inputs chosen; expected 2"),
        ("any", [float("nan"), 0], "mask of 2"),
        ("gone", [1, 0], "not in the search space"),
    ],
)
def test_an_export_that_is_no_choice_is_refused_by_key(key: str, mask: Any, said: str) -> None:
    with pytest.raises(ArchitectureError) as raised:
        Architecture.from_export(SPACE, MASKS | {key: mask})
    assert f"key '{key}'" in str(raised.value)
    assert said in str(raised.value)


@pytest.mark.parametrize("space", example_spaces(), ids=range(30))
def test_the_indices_alone_say_which_it_is(space: SearchSpace) -> None:
    rng = Random(0)
    for architecture in (space.sample(rng) for _ in range(5)):
        assert Architecture.from_row(space, json.loads(json.dumps(architecture.to_row()))) == architecture
        assert Architecture.from_indices(space, architecture.indices) == architecture


@pytest.mark.parametrize("indices", [{"op": [0, 1]}, {"op": []}, {"op": [7]}, {"other": [0]}, {}])
def test_indices_that_do_not_fit_are_refused(indices: dict[str, list[int]]) -> None:
    space = SearchSpace({"op": {"_type": "layer_choice", "_value": ["conv", "pool"]}})
    with pytest.raises(ArchitectureError):
        Architecture.from_indices(space, indices)
