"""Convolutions with channels and kernels that may be values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional

from raynas.errors import ModelError
from raynas.nn.layers.base import Number, SlicedLayer, Tensors, largest
from raynas.nn.value import Value, joint, possible

Sizes = Number | tuple[Number, ...]


class SlicedConv(SlicedLayer):
    """What convolutions of one and two dimensions share: the first channels are kept, kernels are cropped around their centre.

    Args:
        in_channels, out_channels: numbers or values.
        kernel_size: a number or a value, or a tuple of them; what it can become is all odd or all even.
        stride, padding, dilation: numbers or values, or tuples of them; padding may be a name too. ``padding=kernel // 2``
            keeps the size with every odd kernel.
        groups: 1, or the number of input channels (a depthwise convolution), whatever they become.
        bias: whether there is one.

    Raises:
        ModelError: groups are something else, or kernels odd and even.
    """

    plain: ClassVar[type[nn.Module]]
    convolve: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: Number,
        out_channels: Number,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: Number = 1,
        bias: bool = True,
    ) -> None:
        name = type(self).__name__
        _check_groups(name, in_channels, out_channels, groups)
        kernel_size = tuple(kernel_size) if isinstance(kernel_size, list) else kernel_size
        largest_kernel = largest(name, "kernel_size", kernel_size)
        for size in kernel_size if isinstance(kernel_size, tuple) else (kernel_size,):
            if len({value % 2 for value in possible(size)}) > 1:
                raise ModelError(
                    f"{name}: kernel_size can become {sorted(possible(size))}; an even kernel has no place in an odd one"
                )
        self.plain.__init__(
            self,
            largest(name, "in_channels", in_channels),
            largest(name, "out_channels", out_channels),
            largest_kernel,
            groups=largest(name, "groups", groups),
            bias=bias,
        )
        self.take(
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
        )

    def cut(self, tensors: Tensors, now: Mapping[str, Any]) -> dict[str, Tensor]:
        weight = tensors["weight"][: now["out_channels"], : now["in_channels"] // now["groups"]]
        sizes = now["kernel_size"]
        for dim in range(2, weight.dim()):
            size = sizes[dim - 2] if isinstance(sizes, tuple) else sizes
            weight = weight.narrow(dim, (weight.shape[dim] - size) // 2, size)
        cut = {"weight": weight}
        if "bias" in tensors:
            cut["bias"] = tensors["bias"][: now["out_channels"]]
        return cut

    def forward(self, input: Tensor) -> Tensor:
        now = self.now()
        cut = self.cut(self.whole(), now)
        where = (now["stride"], now["padding"], now["dilation"], now["groups"])
        return type(self).convolve(input, cut["weight"], cut.get("bias"), *where)


class Conv1d(SlicedConv, nn.Conv1d):
    """``torch.nn.Conv1d``; see ``SlicedConv``.

    Shapes:
        Input (batch, in_channels, length), output (batch, out_channels, length'), by the current values.

    Example:
        >>> import torch
        >>> from raynas.nn import Conv1d, ValueChoice, freeze
        >>> kernel = ValueChoice([3, 5], key="kernel")
        >>> model = nn.Sequential(Conv1d(2, 4, kernel, padding=kernel // 2))
        >>> freeze(model, {"kernel": {"_value": 5}})
        Sequential(
          (0): Conv1d(2, 4, kernel_size=(5,), stride=(1,), padding=(2,))
        )
    """

    plain = nn.Conv1d
    convolve = staticmethod(functional.conv1d)


class Conv2d(SlicedConv, nn.Conv2d):
    """``torch.nn.Conv2d``; see ``SlicedConv``.

    Shapes:
        Input (batch, in_channels, height, width), output (batch, out_channels, height', width'), by the current values.

    Example:
        >>> import torch
        >>> from raynas.nn import Conv2d, ValueChoice, freeze
        >>> width = ValueChoice([8, 16], key="width")
        >>> model = nn.Sequential(Conv2d(3, width, 1), Conv2d(width, width, 3, groups=width))
        >>> freeze(model, {"width": {"_value": 8}})
        Sequential(
          (0): Conv2d(3, 8, kernel_size=(1, 1), stride=(1, 1))
          (1): Conv2d(8, 8, kernel_size=(3, 3), stride=(1, 1), groups=8)
        )
    """

    plain = nn.Conv2d
    convolve = staticmethod(functional.conv2d)


def _check_groups(name: str, in_channels: Number, out_channels: Number, groups: Number) -> None:
    if not isinstance(groups, Value) and groups == 1:
        return
    for inputs, outputs, number in joint(in_channels, out_channels, groups):
        if number != inputs or outputs % number:
            raise ModelError(
                f"{name}: groups can become {number} with {inputs} input and {outputs} output channels; expected 1, or the "
                "number of input channels with a multiple of it as output: channels in other groups cannot be sliced"
            )
