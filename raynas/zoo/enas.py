"""``EnasMacro`` and ``EnasMicro``: the two spaces of ENAS for images. Neither the method nor its space for text is here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from raynas.nn import Cell, InputChoice, LayerChoice
from raynas.zoo.blocks import (
    CellNetwork,
    FactorizedReduction,
    Factory,
    average_pool,
    classifier,
    identity,
    max_pool,
    relu_conv_norm,
    separable_conv,
    strided,
    twice_separable_conv,
)


class EnasMacro(nn.Module):
    """A whole network of layers; each picks an operator, and which of the layers before it are added to its output.

    Pham et al., "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018, section 2.3. The operator reads the
    layer before; of the stem and of all layers before that, any number are added, none included, and batch norm follows. (The
    paper joins what is picked along the channels and lets the operator read it. A sum has one shape whatever is picked, and
    the layer before is always read, so that a layer that picks nothing has an input.) After 1/3 and 2/3 of the layers the
    size is halved, of all earlier outputs too.

    Size: layer k = 1..12 picks one of 6 operators, and of k - 1 earlier outputs any: 6**12 * 2**(0 + 1 + ... + 11) =
    6**12 * 2**(12 * 11 / 2) = 2,176,782,336 * 2**66 = 1.6e29, the paper's figure.

    Args:
        num_classes: of the classifier.
        channels: of all layers.
        num_layers: n of them make a space of 6**n * 2**(n * (n - 1) / 2).
        in_channels: of the image.

    Shapes:
        Input (batch, in_channels, height, width), output (batch, num_classes).

    Example:
        >>> from raynas.nn import generate_search_space
        >>> space = generate_search_space(EnasMacro(channels=2, num_layers=3))
        >>> space.size == 6**3 * 2**3
        True
        >>> space["layer3.skips"].candidates
        ('stem', 'layer1')
    """

    def __init__(self, num_classes: int = 10, channels: int = 36, num_layers: int = 12, *, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.layers = nn.ModuleList(MacroLayer(channels, number) for number in range(1, num_layers + 1))
        places = {num_layers // 3, 2 * num_layers // 3} - {0, num_layers}
        self.reductions = nn.ModuleDict(
            {str(place): nn.ModuleList(FactorizedReduction(channels, channels) for _ in range(place + 1)) for place in places}
        )
        self.head = nn.Sequential(nn.ReLU(), classifier(channels, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        states = [self.stem(x)]
        for number, layer in enumerate(self.layers, 1):
            states.append(layer(states))
            if str(number) in self.reductions:
                halve = self.reductions[str(number)]
                states = [reduction(state) for reduction, state in zip(halve, states, strict=True)]  # type: ignore[call-overload]
        output: Tensor = self.head(states[-1])
        return output


class MacroLayer(nn.Module):
    """A layer of ``EnasMacro``: called with the outputs of the stem and of all layers before it.

    Args:
        channels: of all of them.
        number: of the layer, from 1; the first has no skip connections.
    """

    def __init__(self, channels: int, number: int) -> None:
        super().__init__()
        self.op = LayerChoice(macro_operators(channels), key=f"layer{number}.op")
        sources = ["stem", *(f"layer{earlier}" for earlier in range(1, number - 1))][: number - 1]
        self.skips = InputChoice(choose_from=sources, n_chosen=None, key=f"layer{number}.skips") if sources else None
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        own = self.op(states[-1])
        added = None if self.skips is None else self.skips(states[:-1])
        output: Tensor = self.norm(own if added is None else own + added)
        return output


class EnasMicro(CellNetwork):
    """A network of convolution cells and reduction cells; what is inside them varies.

    Pham et al., "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018, section 2.4. Three blocks of
    convolution cells, each ended by a reduction cell, in which all operators on an input of the cell have stride 2. A cell
    reads the two cells before it and has 5 nodes (the paper counts the two inputs too, B = 7); each picks two of the states
    before it and one of 5 operators for each, and adds the results. Cells of one kind share all decisions, and no weights.

    Size: node i = 0..4 picks 2 of 2 + i states, and 2 of 5 operators: binomial(2 + i, 2) * 5**2; for the five nodes
    (1 * 3 * 6 * 10 * 15) * 5**10 = 2,700 * 9,765,625 = 26,367,187,500. With two kinds of cells its square, 6.95e20.

    The paper prints (5 * (B - 2)!)**4 = 600**4 = 1.3e11, which counts the choice of operators once and not once a node; its
    own description gives prod((2 + i)**2 * 5**2 for i < 5) = (720 * 5**5)**2 = 5.06e12 for a cell and 2.56e25 for two, since
    there the two picks are ordered and may be the same. In ``raynas.nn.Cell`` they are different states, without an order.
    The other difference: the paper joins the nodes that no other reads, here all nodes are joined, so that the shape of a
    cell's output does not depend on what is picked.

    Args:
        num_classes: of the classifier.
        channels: of a node in the first cell.
        num_cells: convolution cells in each of the three blocks.
        num_nodes: in a cell.
        in_channels: of the image.

    Shapes:
        Input (batch, in_channels, height, width), output (batch, num_classes).

    Example:
        >>> from raynas.nn import generate_search_space
        >>> space = generate_search_space(EnasMicro(channels=2, num_cells=1))
        >>> space.size == (2700 * 5**10) ** 2
        True
    """

    def __init__(
        self, num_classes: int = 10, channels: int = 20, num_cells: int = 2, *, num_nodes: int = 5, in_channels: int = 3
    ) -> None:
        def make_cell(width: int, reduces: bool) -> Cell:
            return Cell(micro_operators(width, reduces=reduces), num_nodes, 2, 2, key="reduction" if reduces else "convolution")

        reductions = [*[False] * num_cells, True] * 3
        super().__init__(make_cell, reductions, channels, widths=(in_channels, 3 * channels, num_nodes, num_classes))


def macro_operators(channels: int) -> dict[str, nn.Module]:
    """The candidates of a layer of ``EnasMacro``; a 1x1 convolution comes before pooling, so each has weights."""
    return {
        "conv_3x3": relu_conv_norm(channels, channels, 3),
        "conv_5x5": relu_conv_norm(channels, channels, 5),
        "sep_conv_3x3": separable_conv(channels, channels, 3),
        "sep_conv_5x5": separable_conv(channels, channels, 5),
        "max_pool_3x3": nn.Sequential(relu_conv_norm(channels, channels), max_pool()),
        "avg_pool_3x3": nn.Sequential(relu_conv_norm(channels, channels), average_pool()),
    }


def micro_operators(channels: int, *, reduces: bool) -> dict[str, Factory]:
    """What makes the candidates of a node of ``EnasMicro``."""
    makers: dict[str, Callable[[int], nn.Module]] = {
        "identity": lambda stride: identity(channels, stride),
        "sep_conv_3x3": lambda stride: twice_separable_conv(channels, 3, stride),
        "sep_conv_5x5": lambda stride: twice_separable_conv(channels, 5, stride),
        "avg_pool_3x3": average_pool,
        "max_pool_3x3": max_pool,
    }
    return strided(makers, reduces=reduces)
