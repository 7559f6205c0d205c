"""``Embedding`` beside ``torch.nn.Embedding`` of the sliced size."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from raynas.errors import ModelError
from raynas.mutators import RandomMutator
from raynas.nn import Embedding, ValueChoice

Compare = Callable[..., None]


@pytest.mark.parametrize("padding_idx", [None, 0, 3])
@pytest.mark.parametrize("number", [4, 7])
@pytest.mark.parametrize("dim", [2, 5])
def test_every_size_is_torchs_layer_of_that_size(compare: Compare, number: int, dim: int, padding_idx: int | None) -> None:
    layer = Embedding(ValueChoice([4, 7], key="number"), ValueChoice([5, 2], key="dim"), padding_idx=padding_idx)
    assert layer.weight.shape == (7, 5)
    tokens = torch.arange(12).reshape(3, 4) % number
    reference = nn.Embedding(number, dim, padding_idx=padding_idx)
    compare(layer, {"number": number, "dim": dim}, reference, {"weight": (slice(number), slice(dim))}, tokens)


def test_an_entry_beyond_the_current_number_is_no_entry() -> None:
    layer = Embedding(ValueChoice([4, 7], key="number"), 2)
    RandomMutator(layer).apply_architecture({"number": 4})
    with pytest.raises(IndexError):
        layer(torch.tensor([5]))


@pytest.mark.parametrize("padding_idx", [4, -1])
def test_a_padding_that_is_not_always_there_is_refused(padding_idx: int) -> None:
    with pytest.raises(ModelError, match=f"padding_idx is {padding_idx}; expected 0 to 3"):
        Embedding(ValueChoice([4, 7], key="number"), 2, padding_idx=padding_idx)


@pytest.mark.parametrize("sizes", [(ValueChoice([0, 1], key="a"), 2), (2, ValueChoice([2.5], key="a"))])
def test_a_size_that_is_none_is_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match=r"Embedding: .* expected a positive integer"):
        Embedding(*sizes)
