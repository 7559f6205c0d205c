"""``MultiheadAttention`` beside ``torch.nn.MultiheadAttention`` of the sliced size."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ModelError
from raynas.mutators import RandomMutator
from raynas.nn import MultiheadAttention, ValueChoice, freeze

Compare = Callable[..., None]
MOST, LENGTH, BATCH = 12, 5, 3


def places(dim: int, bias: bool = True) -> dict[str, Any]:
    """Of each third of the joined projections the first rows, written out one by one."""
    rows = torch.tensor([third * MOST + row for third in range(3) for row in range(dim)])
    found: dict[str, Any] = {"in_proj_weight": (rows[:, None], torch.arange(dim)), "out_proj.weight": (slice(dim), slice(dim))}
    return found | ({"in_proj_bias": rows, "out_proj.bias": slice(dim)} if bias else {})


def layer(**options: Any) -> MultiheadAttention:
    heads = ValueChoice([2, 1, 4], key="heads")
    return MultiheadAttention(ValueChoice([4, 8, MOST], key="dim"), heads, **options)


def sequences(dim: int, number: int, batch_first: bool = False) -> list[Tensor]:
    shape = (BATCH, LENGTH, dim) if batch_first else (LENGTH, BATCH, dim)
    return [torch.randn(shape).double() for _ in range(number)]


def causal() -> Tensor:
    return torch.triu(torch.ones(LENGTH, LENGTH, dtype=torch.bool), diagonal=1)


def padded() -> Tensor:
    return torch.arange(LENGTH)[None, :] >= torch.tensor([[5], [3], [1]])


def masks(heads: int) -> list[dict[str, Any]]:
    per_head = torch.randn(BATCH * heads, LENGTH, LENGTH).double()
    return [
        {"need_weights": False},
        {"average_attn_weights": False},
        {"attn_mask": causal()},
        {"attn_mask": causal(), "is_causal": True, "need_weights": False},
        {"attn_mask": per_head},
        {"key_padding_mask": padded()},
        {"key_padding_mask": padded(), "attn_mask": causal(), "need_weights": False},
    ]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("dim", [4, 8, MOST])
def test_every_size_is_torchs_layer_of_that_size(compare: Compare, dim: int, heads: int, bias: bool) -> None:
    architecture = {"dim": dim, "heads": heads}
    reference = nn.MultiheadAttention(dim, heads, bias=bias)
    compare(layer(bias=bias), architecture, reference, places(dim, bias), *sequences(dim, 3))
    same = sequences(dim, 1) * 3  # self-attention: torch looks whether the three are one
    compare(layer(bias=bias), architecture, nn.MultiheadAttention(dim, heads, bias=bias), places(dim, bias), *same)


@pytest.mark.parametrize("mask", range(len(masks(1))))
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("dim", [8, MOST])
def test_masks_and_forms_of_output_are_torchs(compare: Compare, dim: int, batch_first: bool, mask: int) -> None:
    torch.manual_seed(2)
    same = sequences(dim, 1, batch_first) * 3
    reference = nn.MultiheadAttention(dim, 2, batch_first=batch_first)
    options = masks(heads=2)[mask]
    compare(layer(batch_first=batch_first), {"dim": dim, "heads": 2}, reference, places(dim), *same, **options)


@pytest.mark.parametrize("batch_first", [True, False])
def test_an_input_without_a_batch_is_taken(compare: Compare, batch_first: bool) -> None:
    query, key = torch.randn(2, 8).double(), torch.randn(LENGTH, 8).double()
    reference = nn.MultiheadAttention(8, 4, batch_first=batch_first)
    compare(layer(batch_first=batch_first), {"dim": 8, "heads": 4}, reference, places(8), query, key, key)


@pytest.mark.parametrize("batch_first", [True, False])
def test_keys_and_queries_may_differ_in_length(compare: Compare, batch_first: bool) -> None:
    query, key, value = sequences(4, 3, batch_first)
    query = query[:, :2] if batch_first else query[:2]
    reference = nn.MultiheadAttention(4, 2, batch_first=batch_first)
    compare(layer(batch_first=batch_first), {"dim": 4, "heads": 2}, reference, places(4), query, key, value)


@pytest.mark.parametrize("dim", [8, MOST])
def test_the_probability_of_dropout_may_be_a_value(compare: Compare, dim: int) -> None:
    for p in (0.0, 0.5):
        sliced = layer(dropout=ValueChoice([0.0, 0.5], key="p"))
        reference = nn.MultiheadAttention(dim, 2, dropout=p)
        compare(sliced, {"dim": dim, "heads": 2, "p": p}, reference, places(dim), *sequences(dim, 1) * 3)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("dim", [8, MOST])
def test_the_fast_path_in_evaluation_gives_the_same(dim: int, masked: bool) -> None:
    torch.manual_seed(0)
    sliced = layer(batch_first=True).eval()
    RandomMutator(sliced).apply_architecture({"dim": dim, "heads": 4})
    plain = freeze(sliced, {"dim": dim, "heads": 4})
    x = torch.randn(BATCH, LENGTH, dim)
    options: dict[str, Any] = {"key_padding_mask": padded()} if masked else {}
    with torch.no_grad():
        fast = plain(x, x, x, need_weights=False, **options)[0]
        found = sliced(x, x, x, need_weights=False, **options)[0]
    slow = plain(x, x, x, need_weights=False, **options)[0]
    assert (fast - found).abs().max() <= 1e-5 * fast.abs().max()
    assert (slow - found).abs().max() <= 1e-5 * slow.abs().max()
    if dim == MOST:  # nothing is sliced
        assert torch.equal(fast, found)


def test_the_size_of_a_head_may_stay_while_their_number_changes(compare: Compare) -> None:
    heads = ValueChoice([1, 3], key="heads")
    compare(MultiheadAttention(heads * 4, heads), {"heads": 1}, nn.MultiheadAttention(4, 1), places(4), *sequences(4, 3))


def test_a_smaller_dimension_is_not_the_first_rows_of_the_joined_projection() -> None:
    sliced = layer()
    plain = freeze(sliced, {"dim": 4, "heads": 1})
    for third in range(3):
        assert torch.equal(plain.in_proj_weight[4 * third : 4 * third + 4], sliced.in_proj_weight[12 * third :][:4, :4])


@pytest.mark.parametrize(
    ("dim", "heads", "message"),
    [
        (12, ValueChoice([2, 5], key="heads"), "5 heads cannot share 12 dimensions"),
        (ValueChoice([6, 8], key="dim"), 4, "4 heads cannot share 6 dimensions"),
        (8, ValueChoice([0, 2], key="heads"), "num_heads can become 0"),
        (ValueChoice([8, 8.5], key="dim"), 2, "embed_dim can become 8.5"),
    ],
)
def test_what_does_not_fit_is_refused_at_construction(dim: Any, heads: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        MultiheadAttention(dim, heads)


def test_only_the_pairs_that_can_be_are_looked_at() -> None:
    dim = ValueChoice([6, 8], key="dim")
    MultiheadAttention(dim, dim // 2)  # 6 and 3, 8 and 4: never 6 and 4
