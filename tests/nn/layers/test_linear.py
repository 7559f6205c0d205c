"""``Linear`` beside ``torch.nn.Linear`` of the sliced size."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from raynas.errors import ModelError
from raynas.nn import Linear, ValueChoice

Compare = Callable[..., None]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("outs", [2, 3, 5])
@pytest.mark.parametrize("ins", [4, 1, 6])
def test_every_size_is_torchs_layer_of_that_size(compare: Compare, ins: int, outs: int, bias: bool) -> None:
    layer = Linear(ValueChoice([4, 1, 6], key="in"), ValueChoice([2, 3, 5], key="out"), bias=bias)
    assert layer.weight.shape == (5, 6)
    places = {"weight": (slice(outs), slice(ins))} | ({"bias": slice(outs)} if bias else {})
    compare(layer, {"in": ins, "out": outs}, nn.Linear(ins, outs, bias=bias), places, torch.randn(3, 2, ins).double())


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_one_value_may_decide_both_sizes(compare: Compare, width: int, shape: tuple[int, ...]) -> None:
    value = ValueChoice([2, 3], key="width")
    places = {"weight": (slice(4 * width), slice(width + 1)), "bias": slice(4 * width)}
    x = torch.randn(*shape, width + 1).double()
    compare(Linear(value + 1, value * 4), {"width": width}, nn.Linear(width + 1, 4 * width), places, x)


def test_numbers_alone_make_torchs_layer() -> None:
    torch.manual_seed(0)
    layer = Linear(3, 2)
    torch.manual_seed(0)
    plain = nn.Linear(3, 2)
    x = torch.randn(4, 3)
    assert isinstance(layer, nn.Linear)
    assert torch.equal(layer(x), plain(x))  # needs no mutator


@pytest.mark.parametrize("size", [0, -1, 2.0, "2", True])
@pytest.mark.parametrize("argument", ["in_features", "out_features"])
def test_a_size_that_is_none_is_refused(argument: str, size: object) -> None:
    sizes = {"in_features": 4, "out_features": 4, argument: ValueChoice([4, size], key="width")}
    with pytest.raises(ModelError, match=f"Linear: {argument} can become .*expected a positive integer"):
        Linear(**sizes)
