"""``Conv1d`` and ``Conv2d`` beside torch's of the sliced size."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from raynas.errors import ModelError
from raynas.mutators import RandomMutator
from raynas.nn import Conv1d, Conv2d, ValueChoice, freeze

Compare = Callable[..., None]
KINDS = [(Conv1d, nn.Conv1d, 1), (Conv2d, nn.Conv2d, 2)]
kinds = pytest.mark.parametrize(("kind", "plain", "dims"), KINDS, ids=["1d", "2d"])


def crop(most: int, size: int) -> slice:
    """The middle ``size`` of ``most``, by counting what is left on either side."""
    left = sum(1 for index in range(most) if index < most - 1 - index and most - 2 * (index + 1) >= size)
    assert most - 2 * left == size
    return slice(left, left + size)


def image(channels: int, dims: int) -> torch.Tensor:
    return torch.randn(2, channels, *(9, 8)[:dims]).double()


@kinds
@pytest.mark.parametrize("sizes", [(3, 5, 1), (2, 4)])
@pytest.mark.parametrize("ins", [2, 3])
@pytest.mark.parametrize("outs", [1, 4])
def test_every_size_is_torchs_layer_of_that_size(
    compare: Compare, kind: Any, plain: Any, dims: int, sizes: tuple[int, ...], ins: int, outs: int
) -> None:
    for size in sizes:
        values = {"in": ValueChoice([3, 2], key="in"), "out": ValueChoice([1, 4], key="out")}
        kernel = ValueChoice(list(sizes), key="kernel")
        layer = kind(values["in"], values["out"], kernel, padding=kernel // 2)
        assert layer.weight.shape == (4, 3) + (max(sizes),) * dims
        places = {"weight": (slice(outs), slice(ins)) + (crop(max(sizes), size),) * dims, "bias": slice(outs)}
        architecture = {"in": ins, "out": outs, "kernel": size}
        compare(layer, architecture, plain(ins, outs, size, padding=size // 2), places, image(ins, dims))


@kinds
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("width", [2, 4])
def test_a_depthwise_layer_stays_one(compare: Compare, kind: Any, plain: Any, dims: int, width: int, times: int) -> None:
    value = ValueChoice([2, 4], key="width")
    layer = kind(value, value * times, 3, groups=value, bias=False)
    assert layer.weight.shape == (4 * times, 1) + (3,) * dims
    reference = plain(width, width * times, 3, groups=width, bias=False)
    compare(layer, {"width": width}, reference, {"weight": slice(width * times)}, image(width, dims))


@pytest.mark.parametrize("size", [(1, 4), (1, 2), (3, 4), (3, 2)])
def test_a_kernel_may_have_a_value_a_side(compare: Compare, size: tuple[int, int]) -> None:
    layer = Conv2d(2, 2, (ValueChoice([1, 3], key="height"), ValueChoice([2, 4], key="width")), bias=False)
    place = {"weight": (slice(2), slice(2), crop(3, size[0]), crop(4, size[1]))}
    compare(layer, {"height": size[0], "width": size[1]}, nn.Conv2d(2, 2, size, bias=False), place, image(2, 2))


@kinds
@pytest.mark.parametrize("value", [1, 2])
@pytest.mark.parametrize("argument", ["stride", "padding", "dilation"])
def test_what_has_no_weights_may_be_a_value(
    compare: Compare, kind: Any, plain: Any, dims: int, argument: str, value: int
) -> None:
    layer = kind(2, 3, 3, **{argument: ValueChoice([1, 2], key=argument)})
    compare(layer, {argument: value}, plain(2, 3, 3, **{argument: value}), {"weight": ..., "bias": ...}, image(2, dims))


@kinds
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_padding_may_be_a_name(compare: Compare, kind: Any, plain: Any, dims: int, padding: str) -> None:
    layer = kind(2, 3, 3, padding=ValueChoice(["same", "valid"], key="padding"), dilation=2)
    reference = plain(2, 3, 3, padding=padding, dilation=2)
    compare(layer, {"padding": padding}, reference, {"weight": ..., "bias": ...}, image(2, dims))


def test_tuples_of_numbers_and_values_are_read_side_by_side(compare: Compare) -> None:
    pad = ValueChoice([0, 1], key="pad")
    layer = Conv2d(2, 3, (3, 5), stride=(2, ValueChoice([1, 2], key="stride")), padding=(pad, pad + 1), dilation=(1, 1))
    reference = nn.Conv2d(2, 3, (3, 5), stride=(2, 2), padding=(1, 2))
    compare(layer, {"pad": 1, "stride": 2}, reference, {"weight": ..., "bias": ...}, image(2, 2))


def test_an_input_without_a_batch_is_taken() -> None:
    layer = Conv2d(2, ValueChoice([2, 3], key="width"), 3)
    RandomMutator(layer).apply_architecture({"width": 2})
    assert layer(torch.zeros(2, 5, 5)).shape == (2, 3, 3)


def width() -> ValueChoice:
    return ValueChoice([4, 8], key="width")


def test_lists_are_taken_for_tuples() -> None:
    kernel, stride = ValueChoice([1, 3], key="kernel"), ValueChoice([1, 2], key="stride")
    net = nn.Sequential(Conv2d(2, 2, [3, kernel], stride=[stride, 1], padding=[1, kernel // 2]))
    plain = freeze(net, {"kernel": 1, "stride": 2})[0]
    assert (plain.kernel_size, plain.stride, plain.padding) == ((3, 1), (2, 1), (1, 0))


@pytest.mark.parametrize("groups", [1, "in", 8])
def test_groups_of_one_channel_or_of_all_are_taken(groups: int | str) -> None:
    value = width()
    ins = 8 if groups == 8 else value
    assert Conv2d(ins, 8, 3, groups=value if groups == "in" else groups).weight.shape[0] == 8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2d(8, 8, 3, groups=2), r"groups can become 2 with 8 input and 8 output channels; expected 1, or"),
        (lambda: Conv1d(8, 8, 3, groups=4), "groups can become 4"),
        (lambda: Conv2d(8, 8, 3, groups=0), "groups can become 0"),
        (lambda: Conv2d(width(), 8, 3, groups=8), "groups can become 8 with 4 input"),
        (lambda: Conv2d(width(), 8, 3, groups=4), "groups can become 4 with 8 input"),
        (lambda: Conv2d(8, 8, 3, groups=ValueChoice([1, 8], key="groups")), "groups can become 1 with 8"),
        (lambda: Conv2d(width(), 8, 3, groups=width() // 2), "groups can become 2 with 4"),
        (lambda: Conv2d(width(), 12, 3, groups=width()), "groups can become 8 with 8 input and 12 output"),
        (lambda: Conv2d(width(), 8, 3, groups=ValueChoice([4, 8], key="other")), "groups can become 8 with 4"),
        (lambda: Conv2d(3, 3, ValueChoice([3, 4], key="kernel")), r"kernel_size can become \[3, 4\]; an even kernel"),
        (lambda: Conv1d(3, 3, ValueChoice([1, 2, 3], key="kernel")), r"\[1, 2, 3\]; an even kernel"),
        (lambda: Conv2d(3, 3, (3, ValueChoice([2, 5], key="kernel"))), r"\[2, 5\]; an even kernel"),
        (lambda: Conv2d(3, 3, ValueChoice([3, 5], key="kernel") // 2), r"\[1, 2\]; an even kernel"),
        (lambda: Conv2d(ValueChoice([0, 2], key="width"), 3, 1), "in_channels can become 0"),
        (lambda: Conv2d(3, ValueChoice([1.5, 2], key="width"), 1), "out_channels can become 1.5"),
        (lambda: Conv2d(3, 3, ValueChoice([1, -1], key="kernel")), "kernel_size can become -1"),
        (lambda: Conv2d(3, 3, "3"), "kernel_size can become '3'"),
    ],
)  # fmt: skip
def test_what_cannot_be_sliced_is_refused_at_construction(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make()
