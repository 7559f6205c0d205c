"""One key: its candidates, its options, what is refused."""

import math
import pickle
import time
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from random import Random
from typing import Any

import pytest

from raynas.errors import SpaceError
from raynas.space import Domain
from raynas.space.domain import MAX_COMBINED
from raynas.testing import example_spaces


def _inputs(candidates: list[Any], n_chosen: Any) -> dict[str, Any]:
    return {"_type": "input_choice", "_value": {"candidates": candidates, "n_chosen": n_chosen}}


WRONG: dict[str, tuple[Any, str]] = {
    "no object": (["a"], "expected an object"),
    "unknown _type": ({"_type": "uniform", "_value": ["a"]}, "unknown _type 'uniform'"),
    "no _type": ({"_value": ["a"]}, "unknown _type None"),
    "an odd _type": ({"_type": ["choice"], "_value": ["a"]}, "unknown _type"),
    "no _value": ({"_type": "choice"}, "_value is missing"),
    "unknown field": ({"_type": "choice", "_value": [1], "_if": {}}, "unknown field '_if'"),
    "no candidates": ({"_type": "layer_choice", "_value": []}, "at least one candidate"),
    "candidates in a string": ({"_type": "layer_choice", "_value": "abc"}, "expected a list"),
    "candidates in an object": ({"_type": "choice", "_value": {"a": 1}}, "expected a list"),
    "an operator that is no name": ({"_type": "layer_choice", "_value": ["a", 3]}, "candidate 3 is no string"),
    "an input that is no name": (_inputs(["a", None], 1), "candidate None is no string"),
    "a value that is a list": ({"_type": "choice", "_value": [[1]]}, "neither a finite number nor a string"),
    "a value that is null": ({"_type": "choice", "_value": [None]}, "neither a finite number nor a string"),
    "NaN": ({"_type": "choice", "_value": [float("nan")]}, "neither a finite number"),
    "infinity": ({"_type": "choice", "_value": [float("-inf")]}, "neither a finite number"),
    "a lone surrogate": ({"_type": "choice", "_value": ["a\ud800"]}, "lone surrogate"),
    "inputs without n_chosen": ({"_type": "input_choice", "_value": {"candidates": ["a"]}}, "candidates and n_chosen"),
    "inputs in a list": ({"_type": "input_choice", "_value": ["a"]}, "candidates and n_chosen"),
    "inputs with more": ({"_type": "input_choice", "_value": {"candidates": ["a"], "n_chosen": 1, "m": 1}}, "candidates and"),
    "no inputs": (_inputs([], None), "at least one candidate"),
    "too many inputs": (_inputs(["a", "b"], 3), "n_chosen is 3; expected null or an integer from 0 to 2"),
    "less than no inputs": (_inputs(["a"], -1), "n_chosen is -1"),
    "a boolean number of inputs": (_inputs(["a"], True), "n_chosen is True"),
    "too many inputs to combine": (
        _inputs(["a"] * (MAX_COMBINED + 1), 2),
        "10001 inputs with n_chosen 2; expected at most 10000",
    ),
    "an integer that JSON readers refuse": ({"_type": "choice", "_value": [10**4_300]}, "more than 4,300 digits"),
    "a negative one": ({"_type": "choice", "_value": [-(10**5_000)]}, "more than 4,300 digits"),
    "a huge number of inputs": (_inputs(["a"], 10**5_000), "n_chosen is an integer of"),
    "half an input": (_inputs(["a"], 0.5), "n_chosen is 0.5"),
    "conditions in a list": ({"_type": "choice", "_value": [1], "_when": ["a"]}, "_when is ['a']"),
    "a bare index": ({"_type": "choice", "_value": [1], "_when": {"a": 1}}, "_when['a'] is 1"),
    "no indices": ({"_type": "choice", "_value": [1], "_when": {"a": []}}, "_when['a'] is []"),
    "repeated indices": ({"_type": "choice", "_value": [1], "_when": {"a": [1, 1]}}, "list of distinct indices"),
    "names for indices": ({"_type": "choice", "_value": [1], "_when": {"a": ["x"]}}, "list of distinct indices"),
    "booleans for indices": ({"_type": "choice", "_value": [1], "_when": {"a": [True]}}, "list of distinct indices"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_the_key(name: str) -> None:
    document, said = WRONG[name]
    with pytest.raises(SpaceError) as raised:
        Domain("höhe", document)
    assert "key 'höhe'" in str(raised.value)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("document", "options"),
    [
        ({"_type": "layer_choice", "_value": ["a", "b"]}, [(0,), (1,)]),
        ({"_type": "choice", "_value": [8, 16, 8]}, [(0,), (1,), (2,)]),
        (_inputs(["a", "b", "c"], 0), [()]),
        (_inputs(["a", "b", "c"], 1), [(0,), (1,), (2,)]),
        (_inputs(["a", "b", "c"], 2), [(0, 1), (0, 2), (1, 2)]),
        (_inputs(["a", "b", "c"], 3), [(0, 1, 2)]),
        (_inputs(["a", "b"], None), [(), (0,), (1,), (0, 1)]),
    ],
)
def test_options_are_numbered(document: dict[str, Any], options: list[tuple[int, ...]]) -> None:
    domain = Domain("key", document)
    assert domain.num_options == len(options)
    assert [domain.option(number) for number in range(domain.num_options)] == options


@pytest.mark.parametrize("n_chosen", [None, 0, 1, 3, 6, 7])
def test_options_of_seven_inputs_are_different_and_ascending(n_chosen: int | None) -> None:
    domain = Domain("key", _inputs(list("abcdefg"), n_chosen))
    options = [domain.option(number) for number in range(domain.num_options)]
    assert len(set(options)) == len(options)
    assert all(list(option) == sorted(set(option)) for option in options)
    assert {len(option) for option in options} == (set(range(8)) if n_chosen is None else {n_chosen})


def test_many_inputs_have_an_exact_number_of_options() -> None:
    assert (
        Domain("key", _inputs([str(i) for i in range(200)], 100)).num_options
        == 90548514656103281165404177077484163874504589675413336841320
    )
    assert Domain("key", _inputs([str(i) for i in range(200)], None)).num_options == 2**200


@pytest.mark.parametrize("n_chosen", [0, 1, 4, 9, 10])
def test_options_are_in_the_order_of_itertools(n_chosen: int) -> None:
    domain = Domain("key", _inputs(["a"] * 10, n_chosen))
    assert [domain.option(number) for number in range(domain.num_options)] == list(combinations(range(10), n_chosen))


def test_millions_of_inputs_are_counted_and_numbered_or_refused_at_once() -> None:
    start = time.process_time()
    with pytest.raises(SpaceError, match="key 'key': 2500000 inputs with n_chosen 1250000"):
        Domain("key", _inputs(["a"] * 2_500_000, 1_250_000))
    every = Domain("key", _inputs(["a"] * 2_500_000, None))
    assert every.option(every.num_options - 1) == tuple(range(2_500_000))
    half = Domain("key", _inputs(["a"] * MAX_COMBINED, MAX_COMBINED // 2))
    assert half.num_options == math.comb(MAX_COMBINED, MAX_COMBINED // 2)
    assert half.option(half.num_options - 1) == tuple(range(MAX_COMBINED // 2, MAX_COMBINED))
    assert time.process_time() - start < 5


# --- steps -----------------------------------------------------------------------------------------------------------

STEPS: list[tuple[dict[str, Any], tuple[int, ...], list[tuple[int, ...]]]] = [
    ({"_type": "layer_choice", "_value": ["a", "b", "c"]}, (1,), [(0,), (2,)]),
    ({"_type": "choice", "_value": [8]}, (0,), []),
    (_inputs(["a", "b", "c"], 1), (1,), [(0,), (2,)]),
    (_inputs(["a", "b", "c", "d"], 2), (0, 2), [(1, 2), (2, 3), (0, 1), (0, 3)]),
    (_inputs(["a", "b"], 2), (0, 1), []),
    (_inputs(["a", "b"], 0), (), []),
    (_inputs(["a", "b", "c"], None), (), [(0,), (1,), (2,)]),
    (_inputs(["a", "b", "c"], None), (0, 2), [(2,), (0, 1, 2), (0,)]),
]


@pytest.mark.parametrize(("document", "indices", "expected"), STEPS)
def test_neighbours_are_one_step_away(document: dict[str, Any], indices: tuple[int, ...], expected: list[Any]) -> None:
    assert list(Domain("key", document).neighbours(indices)) == expected


@pytest.mark.parametrize("n_chosen", [None, 0, 1, 2, 3, 5])
def test_every_option_is_some_steps_from_every_other(n_chosen: int | None) -> None:
    domain = Domain("key", _inputs(list("abcde"), n_chosen))
    options = {domain.option(number) for number in range(domain.num_options)}
    for option in options:
        steps = list(domain.neighbours(option))
        assert len(set(steps)) == len(steps)
        assert option not in steps
        assert all(option in domain.neighbours(step) for step in steps)
    found = reached = {domain.option(0)}
    while reached:
        reached = {step for option in reached for step in domain.neighbours(option)} - found
        found = found | reached
    assert found == options


@pytest.mark.parametrize(("document", "indices", "expected"), [case for case in STEPS if case[2]])
def test_a_random_step_is_any_of_them_alike(
    is_uniform: Callable[..., bool], document: dict[str, Any], indices: tuple[int, ...], expected: list[Any]
) -> None:
    domain, rng = Domain("key", document), Random(0)
    counts = Counter(domain.step(indices, rng) for _ in range(2_000))
    assert set(counts) == set(expected)
    assert len(counts) == 1 or is_uniform(counts.values())


def test_it_reads_like_its_json() -> None:
    document = {"_type": "layer_choice", "_value": ["a", "b"], "_when": {"parent": [2, 0]}}
    domain = Domain("key", document)
    assert (domain["_type"], domain["_value"], dict(domain["_when"])) == ("layer_choice", ("a", "b"), {"parent": (0, 2)})
    assert list(domain) == ["_type", "_value", "_when"]
    assert list(Domain("key", {"_type": "choice", "_value": [1]})) == ["_type", "_value"]
    assert Domain("key", _inputs(["a"], None))["_value"] == {"candidates": ("a",), "n_chosen": None}
    assert (len(domain), dict(domain)) == (3, {field: domain[field] for field in domain})
    for field in ("_if", "_when"):
        with pytest.raises(KeyError, match=field):
            Domain("key", {"_type": "choice", "_value": [1], "_when": {}})[field]


def test_every_domain_survives_to_dict_and_pickle() -> None:
    for space in example_spaces():
        for key, domain in space.items():
            for copied in (Domain(key, domain.to_dict()), pickle.loads(pickle.dumps(domain))):
                assert copied == domain
                assert copied.to_dict() == domain.to_dict()


def test_to_dict_is_fresh() -> None:
    domain = Domain("key", _inputs(["a", "b"], 1) | {"_when": {"parent": [0]}})
    taken = domain.to_dict()
    taken["_value"]["candidates"].append("c")
    taken["_when"]["parent"].append(7)
    assert domain.to_dict() == _inputs(["a", "b"], 1) | {"_when": {"parent": [0]}}


def test_labels_are_names_that_do_not_repeat() -> None:
    assert Domain("key", _inputs(["a", "b", "a"], 1)).labels == ("a[0]", "b", "a[2]")
    assert Domain("key", {"_type": "choice", "_value": [8, 16, 0.5]}).labels == ("8", "16", "0.5")


def test_nothing_in_it_can_be_changed() -> None:
    domain = Domain("key", _inputs(["a", "b"], 1) | {"_when": {"parent": [0]}})
    with pytest.raises(TypeError):
        domain["_type"] = "choice"  # type: ignore[index]
    with pytest.raises(TypeError):
        domain["_value"]["n_chosen"] = 2
    with pytest.raises(TypeError):
        domain.when["parent"] = (1,)  # type: ignore[index]
    assert type(domain.candidates) is type(domain["_value"]["candidates"]) is tuple


def test_what_it_was_made_from_is_not_kept() -> None:
    document = _inputs(["a", "b"], 1) | {"_when": {"parent": [0]}}
    domain = Domain("key", document)
    document["_value"]["candidates"].append("c")
    document["_when"]["parent"].append(7)
    assert domain.candidates == ("a", "b")
    assert dict(domain.when) == {"parent": (0,)}
