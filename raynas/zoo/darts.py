"""``Darts``: the space of DARTS for CIFAR-10. The method that it is searched with in the paper is not here."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from raynas.nn import Cell
from raynas.zoo.blocks import (
    CellNetwork,
    Factory,
    average_pool,
    identity,
    max_pool,
    separable_conv,
    strided,
    twice_separable_conv,
)


class Darts(CellNetwork):
    """A network of cells of two designs, the normal cell and the reduction cell; what is inside them varies.

    Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", ICLR 2019, section 2.1. A cell reads the
    two cells before it and has 4 nodes; each picks two of the states before it and an operator for each pick, and adds the
    results; the output is all nodes, concatenated. The cells at 1/3 and 2/3 of the depth reduce the size: their operators have
    stride 2 where they read an input of the cell. Cells of one design share all decisions, and no weights.

    Size: node i = 0..3 picks 2 of 2 + i states and 2 of the 7 operators (all but ``none``, which no finished cell of the paper
    has either): binomial(2 + i, 2) * 7**2; for the four nodes (1 * 3 * 6 * 10) * 7**8 = 180 * 5,764,801 = 1,037,664,180. With
    two designs its square, 1,076,746,950,455,072,400 = 1.08e18: the paper's formula too, which it rounds to 10^18.

    Two differences. While the paper searches, every edge has one set of weights and each node sums all edges; here each of a
    node's two picks has its own (see ``raynas.nn.Cell``). The auxiliary classifier and drop path, with which the paper trains
    the finished network, are left out.

    Args:
        num_classes: of the classifier.
        channels: of a node in the first cell; the paper searches with 16 and trains the finished network with 36.
        num_cells: the paper searches with 8, and trains the finished network with 20; below 3 there is no normal cell.
        num_nodes: in a cell.
        affine: whether batch norm has weights; the paper searches without them, and trains the finished network with them.
        in_channels: of the image.

    Shapes:
        Input (batch, in_channels, height, width), output (batch, num_classes).

    Example:
        >>> from raynas.nn import generate_search_space
        >>> space = generate_search_space(Darts(channels=2, num_cells=3))
        >>> space.size == (180 * 7**8) ** 2
        True
        >>> space["normal.node0.op0"].candidates
        ('max_pool_3x3', 'avg_pool_3x3', 'skip_connect', 'sep_conv_3x3', 'sep_conv_5x5', 'dil_conv_3x3', 'dil_conv_5x5')
    """

    def __init__(
        self,
        num_classes: int = 10,
        channels: int = 16,
        num_cells: int = 8,
        *,
        num_nodes: int = 4,
        affine: bool = False,
        in_channels: int = 3,
    ) -> None:
        def make_cell(width: int, reduces: bool) -> Cell:
            key = "reduce" if reduces else "normal"
            return Cell(operators(width, reduces=reduces, affine=affine), num_nodes, 2, 2, key=key)

        places = {num_cells // 3, 2 * num_cells // 3}
        reductions = [number in places for number in range(num_cells)]
        widths = (in_channels, 3 * channels, num_nodes, num_classes)
        super().__init__(make_cell, reductions, channels, widths=widths, affine=affine)


def operators(channels: int, *, reduces: bool, affine: bool) -> dict[str, Factory]:
    """What makes the candidates of a node, under the names of the paper's genotypes. Pooling is followed by batch norm."""

    def pooled(pool: nn.Module) -> nn.Module:
        return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=affine))

    def separable(kernel: int, stride: int) -> nn.Module:
        return twice_separable_conv(channels, kernel, stride, affine=affine)

    def dilated(kernel: int, stride: int) -> nn.Module:
        return separable_conv(channels, channels, kernel, stride, dilation=2, affine=affine)

    makers: dict[str, Callable[[int], nn.Module]] = {
        "max_pool_3x3": lambda stride: pooled(max_pool(stride)),
        "avg_pool_3x3": lambda stride: pooled(average_pool(stride)),
        "skip_connect": lambda stride: identity(channels, stride, affine=affine),
        "sep_conv_3x3": lambda stride: separable(3, stride),
        "sep_conv_5x5": lambda stride: separable(5, stride),
        "dil_conv_3x3": lambda stride: dilated(3, stride),
        "dil_conv_5x5": lambda stride: dilated(5, stride),
    }
    return strided(makers, reduces=reduces)
