"""``InputChoice``: which inputs are picked, and what comes out."""

from typing import Any

import pytest
import torch
from torch import Tensor

from raynas.errors import ModelError
from raynas.mutators import RandomMutator
from raynas.nn import InputChoice, Reduction

X = [torch.full((2, 3), value) for value in (1.0, 10.0, 100.0)]


def pick(indices: list[int], **options: Any) -> InputChoice:
    choice = InputChoice(**{"n_candidates": 3, "key": "skip", **options})
    RandomMutator(choice).apply_architecture({"skip": {"_idx": indices}})
    return choice


@pytest.mark.parametrize(
    ("indices", "reduction", "expected"),
    [
        ([0, 2], "sum", X[0] + X[2]),
        ([0, 2], "mean", (X[0] + X[2]) / 2),
        ([0, 2], "concat", torch.cat([X[0], X[2]], 1)),
        ([1], "concat", X[1]),
        ([0, 1, 2], "sum", X[0] + X[1] + X[2]),
    ],
)
def test_picked_inputs_are_reduced(indices: list[int], reduction: Reduction, expected: Tensor) -> None:
    assert torch.equal(pick(indices, reduction=reduction)(X), expected)


def test_reduction_none_gives_the_inputs_themselves() -> None:
    assert [id(tensor) for tensor in pick([1, 2], reduction="none")(X)] == [id(X[1]), id(X[2])]


@pytest.mark.parametrize("n_chosen", [None, 0])
def test_no_input_gives_none(n_chosen: int | None) -> None:
    assert pick([], n_chosen=n_chosen)(X) is None
    output, mask = pick([], n_chosen=n_chosen, return_mask=True)(X)
    assert (output, mask.tolist()) == (None, [False] * 3)


def test_the_mask_tells_what_was_chosen() -> None:
    output, mask = pick([0, 2], return_mask=True)(X)
    assert torch.equal(output, X[0] + X[2])
    assert (mask.dtype, mask.tolist()) == (torch.bool, [True, False, True])


def test_a_mapping_is_read_by_names_in_any_order() -> None:
    choice = pick([0, 1], choose_from=["a", InputChoice.NO_KEY, "c"], n_candidates=None)
    assert choice.names == ("a", "1", "c")
    assert torch.equal(choice({"c": X[2], "1": X[1], "a": X[0]}), X[0] + X[1])
    with pytest.raises(ModelError, match=r"'skip'.*'c' is missing; found a, 1"):
        choice({"a": X[0], "1": X[1]})


@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_wrong_number_of_inputs_is_refused(count: int) -> None:
    with pytest.raises(ModelError, match=f"'skip': found {count} inputs; expected 3"):
        pick([0], n_chosen=1)((X * 2)[:count])


def test_unpicked_inputs_may_be_anything() -> None:
    assert pick([1], n_chosen=1)([None, X[1], "text"]) is X[1]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_candidates": 0},
        {"choose_from": []},
        {"n_candidates": 3, "choose_from": ["a", "b"]},
        {"n_candidates": 3, "n_chosen": 4},
        {"n_candidates": 3, "n_chosen": -1},
        {"n_candidates": "3"},
        {"n_candidates": 2.5},
        {"n_candidates": 3, "n_chosen": "1"},
        {"n_candidates": 3, "n_chosen": [1]},
        {"choose_from": 3},
        {"choose_from": "abc"},
    ],
)
def test_numbers_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="InputChoice skip"):
        InputChoice(key="skip", **options)
