"""Sample inputs: wherever tensors lie in them, they are moved."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from raynas.nn.sample_input import place_inputs

X = torch.ones(2)


class Pair(NamedTuple):
    left: Tensor
    right: int


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    return [tensor for entry in entries for tensor in tensors(entry)]


@pytest.mark.parametrize(
    ("sample_input", "expected"),
    [(X, 1), ((X, X), 2), ([X, X], 2), (({"a": X, "b": [X, (X, 3)]}, None), 3), ((Pair(X, 1),), 1)],
)
def test_every_tensor_is_moved(sample_input: Any, expected: int) -> None:
    placed = place_inputs(sample_input, "meta")
    assert [tensor.device.type for tensor in tensors(placed)] == ["meta"] * expected


def test_a_tuple_is_the_arguments_and_anything_else_is_the_only_one() -> None:
    assert len(place_inputs((X, 2), "cpu")) == 2
    assert len(place_inputs([X, X], "cpu")) == 1


def test_what_is_no_tensor_stays_as_it_is() -> None:
    mapping, number, pair = place_inputs(({"a": X, "b": "name"}, 3, Pair(X, 1)), "cpu")
    assert (mapping["b"], number) == ("name", 3)
    assert mapping["a"] is X
    assert isinstance(pair, Pair)
