"""What several spaces are built of: small operators on images, and the network of cells. No space of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.nn import Cell

Factory = Callable[[int, int], nn.Module]


def relu_conv_norm(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, *, dilation: int = 1, affine: bool = True
) -> nn.Sequential:
    """ReLU, convolution, batch norm; the kernel is odd, and the size stays but for the stride."""
    conv = nn.Conv2d(
        inputs, outputs, kernel, stride, padding=dilation * (kernel // 2), dilation=dilation, groups=groups, bias=False
    )
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(outputs, affine=affine))


def separable_conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, *, dilation: int = 1, affine: bool = True
) -> nn.Sequential:
    """ReLU, depthwise convolution, convolution over channels, batch norm."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(inputs, inputs, kernel, stride, padding, dilation, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs, affine=affine),
    )


def twice_separable_conv(channels: int, kernel: int, stride: int = 1, *, affine: bool = True) -> nn.Sequential:
    """A separable convolution two times, as in NASNet (Zoph et al., CVPR 2018); the first has the stride."""
    first = separable_conv(channels, channels, kernel, stride, affine=affine)
    return nn.Sequential(first, separable_conv(channels, channels, kernel, affine=affine))


def max_pool(stride: int = 1) -> nn.Module:
    """The largest of 3x3."""
    return nn.MaxPool2d(3, stride, padding=1)


def average_pool(stride: int = 1) -> nn.Module:
    """The mean of 3x3; the margin does not count."""
    return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)


def identity(channels: int, stride: int = 1, *, affine: bool = True) -> nn.Module:
    """The input; where the stride is 2 there is no such thing, and it becomes a ``FactorizedReduction``."""
    return nn.Identity() if stride == 1 else FactorizedReduction(channels, channels, affine=affine)


def strided(makers: Mapping[str, Callable[[int], nn.Module]], *, reduces: bool) -> dict[str, Factory]:
    """From makers of operators, called with a stride, to factories for a ``Cell`` with two inputs.

    In a reduction cell the stride is 2 where an input of the cell is read, not where one of its nodes is, which are small
    already.
    """

    def by_source(make: Callable[[int], nn.Module]) -> Factory:
        return lambda _node, source: make(2 if reduces and source < 2 else 1)

    return {name: by_source(make) for name, make in makers.items()}


def classifier(features: int, num_classes: int) -> nn.Sequential:
    """The mean over all places, and a linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, num_classes))


class FactorizedReduction(nn.Module):
    """Halves the size and loses no place: one convolution reads the even places, another those one further down and right.

    ReLU comes first, batch norm last. Each convolution makes half of the channels.

    Shapes:
        Input (batch, inputs, height, width), output (batch, outputs, height / 2, width / 2), halves rounded up.
    """

    def __init__(self, inputs: int, outputs: int, *, affine: bool = True) -> None:
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs - outputs // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        x = x.relu()
        shifted = functional.pad(x[..., 1:, 1:], (0, 1, 0, 1))  # the margin keeps odd sizes in step
        output: Tensor = self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))
        return output


class CellNetwork(nn.Module):
    """A stem, cells that read the two cells before them, and a classifier, as in NASNet (Zoph et al., CVPR 2018).

    Before a cell, each of its two inputs is brought to its channels by ReLU, 1x1 convolution and batch norm; where the cell in
    between reduced the size, by a ``FactorizedReduction``. A reduction cell has twice the channels of the one before it.

    Args:
        make_cell: makes a cell with two predecessors when called with its channels and whether it reduces the size.
        reductions: for each cell, whether it reduces the size.
        channels: of each node in the first cell.
        widths: channels of the image, channels of the stem, nodes that a cell concatenates, classes.
        affine: whether batch norm has weights.

    Shapes:
        Input (batch, channels of the image, height, width), output (batch, classes).
    """

    def __init__(
        self,
        make_cell: Callable[[int, bool], Cell],
        reductions: Sequence[bool],
        channels: int,
        *,
        widths: tuple[int, int, int, int],
        affine: bool = True,
    ) -> None:
        super().__init__()
        image, before, nodes, num_classes = widths
        self.stem = nn.Sequential(nn.Conv2d(image, before, 3, padding=1, bias=False), nn.BatchNorm2d(before))
        self.cells = nn.ModuleList()
        self.inputs = nn.ModuleList()
        two_before, halved = before, False
        for reduces in reductions:
            channels *= 2 if reduces else 1
            far = FactorizedReduction if halved else relu_conv_norm
            self.inputs.append(
                nn.ModuleList([far(two_before, channels, affine=affine), relu_conv_norm(before, channels, affine=affine)])
            )
            self.cells.append(make_cell(channels, reduces))
            two_before, before, halved = before, nodes * channels, reduces
        self.head = classifier(before, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        two_before, before = x, x
        for inputs, cell in zip(self.inputs, self.cells, strict=True):
            far, near = cast(Iterable[nn.Module], inputs)
            two_before, before = before, cell(far(two_before), near(before))
        output: Tensor = self.head(before)
        return output
