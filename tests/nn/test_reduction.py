"""How several outputs become one."""

from typing import Any

import pytest
import torch
from torch import Tensor

from raynas.errors import ModelError
from raynas.nn import Reduction, reduce_outputs

A, B, C = (torch.arange(6.0).view(2, 3) * scale for scale in (1, 10, 100))


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [("sum", A + B + C), ("mean", (A + B + C) / 3), ("concat", torch.cat([A, B, C], 1))],
)
def test_several(reduction: Reduction, expected: Tensor) -> None:
    assert torch.equal(reduce_outputs([A, B, C], reduction), expected)


def test_none_keeps_the_list() -> None:
    assert [id(output) for output in reduce_outputs((A, B), "none")] == [id(A), id(B)]
    assert reduce_outputs([], "none") == []


@pytest.mark.parametrize("reduction", ["sum", "mean", "concat"])
def test_a_single_output_may_be_anything_and_stays_as_it_is(reduction: Reduction) -> None:
    output = (A, {"b": B})
    assert reduce_outputs([output], reduction) is output
    assert reduce_outputs([], reduction) is None


def test_weights_are_multiplied_before_reducing() -> None:
    weights = [torch.tensor(0.25), torch.tensor(0.75)]
    assert torch.equal(reduce_outputs([A, B], "sum", weights), A * 0.25 + B * 0.75)
    assert torch.equal(reduce_outputs([A, B], "mean", weights), (A * 0.25 + B * 0.75) / 2)
    assert torch.equal(reduce_outputs([A, B], "concat", weights), torch.cat([A * 0.25, B * 0.75], 1))
    assert torch.equal(reduce_outputs([A], "sum", weights[:1]), A * 0.25)
    assert torch.equal(reduce_outputs([A, B], "none", weights)[1], B * 0.75)


def test_concat_takes_different_widths() -> None:
    assert reduce_outputs([torch.ones(2, 3), torch.ones(2, 5)], "concat").shape == (2, 8)


def test_outputs_are_not_written_to() -> None:
    outputs = [A.clone(), B.clone(), C.clone()]
    reduce_outputs(outputs, "sum")
    reduce_outputs(outputs, "mean")
    assert all(torch.equal(output, before) for output, before in zip(outputs, (A, B, C), strict=True))


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        ("sum", (A + B, (B + C, None))),
        ("mean", ((A + B) / 2, ((B + C) / 2, None))),
        ("concat", (torch.cat([A, B], 1), (torch.cat([B, C], 1), None))),
    ],
)
def test_tuples_are_reduced_entry_by_entry(reduction: Reduction, expected: Any) -> None:
    first, (second, nothing) = reduce_outputs([(A, (B, None)), (B, (C, None))], reduction)
    assert torch.equal(first, expected[0])
    assert torch.equal(second, expected[1][0])
    assert nothing is None


def test_tuples_are_weighed_entry_by_entry() -> None:
    weights = [torch.tensor(0.25), torch.tensor(0.75)]
    first, second = reduce_outputs([(A, B), (B, C)], "sum", weights)
    assert torch.equal(first, A * 0.25 + B * 0.75)
    assert torch.equal(second, B * 0.25 + C * 0.75)
    assert torch.equal(reduce_outputs([(A, None)], "none", weights[:1])[0][0], A * 0.25)


@pytest.mark.parametrize("other", [(A,), A, (A, B, C)])
def test_tuples_that_are_not_alike_are_refused(other: Any) -> None:
    with pytest.raises(ModelError, match=r"reduction 'sum': found tuple, .*expected tuples of one length"):
        reduce_outputs([(A, B), other], "sum")
