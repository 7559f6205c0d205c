"""``NasBench201``: the space of NAS-Bench-201. The table of its results is not here."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raynas.nn import LayerChoice
from raynas.zoo.blocks import average_pool, classifier, relu_conv_norm

NUM_NODES = 4


class NasBench201(nn.Module):
    """Three stages of equal cells; the operator on each edge of the cell varies, the same in all of them.

    Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR 2020, section 2.1. A
    cell has 4 nodes, and an edge from each node to each later one; node 0 is the input, a node is the sum of its edges, node 3
    is the output. Between stages a residual block halves the size and doubles the channels.

    Size: 5 operators on each of 4 * 3 / 2 = 6 edges, in one design for all cells: 5**6 = 15,625, as in the paper. That counts
    cells written differently that compute the same, and cells whose output does not depend on their input (all ``none``).

    With the default arguments parameters are those of the benchmark's own table, 73,306 to 1,531,546 for CIFAR-10.

    Args:
        num_classes: of the classifier.
        channels: of the first stage.
        num_cells: in each stage.
        in_channels: of the image.

    Shapes:
        Input (batch, in_channels, height, width), output (batch, num_classes); the size is a multiple of 4.

    Example:
        >>> from raynas.nn import generate_search_space
        >>> space = generate_search_space(NasBench201(channels=4, num_cells=1))
        >>> space.size
        15625
        >>> list(space)
        ['edge0-1', 'edge0-2', 'edge1-2', 'edge0-3', 'edge1-3', 'edge2-3']
        >>> space["edge0-1"].candidates
        ('none', 'skip_connect', 'nor_conv_1x1', 'nor_conv_3x3', 'avg_pool_3x3')
    """

    def __init__(self, num_classes: int = 10, channels: int = 16, num_cells: int = 5, *, in_channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        ]
        for stage in range(3):
            width = channels * 2**stage
            if stage:
                layers.append(ResidualReduction(width // 2, width))
            layers += [DenseCell(width) for _ in range(num_cells)]
        self.layers = nn.Sequential(*layers)
        width = channels * 4
        self.head = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), classifier(width, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.head(self.layers(x))
        return output


class DenseCell(nn.Module):
    """The cell: an operator on every edge, each edge with the same key in every cell."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.nodes = nn.ModuleList(
            nn.ModuleList(LayerChoice(operators(channels), key=f"edge{source}-{node}") for source in range(node))
            for node in range(1, NUM_NODES)
        )

    def forward(self, x: Tensor) -> Tensor:
        states = [x]
        for edges in self.nodes:
            outputs = [edge(state) for edge, state in zip(edges, states, strict=True)]  # type: ignore[call-overload]
            states.append(sum(outputs[1:], start=outputs[0]))
        return states[-1]


class Zero(nn.Module):
    """No edge: zeros of the shape of the input."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class ResidualReduction(nn.Module):
    """Between two stages: two 3x3 convolutions, the first with stride 2, beside a 2x2 mean and a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(relu_conv_norm(inputs, outputs, 3, stride=2), relu_conv_norm(outputs, outputs, 3))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.convs(x) + self.shortcut(x)
        return output


def operators(channels: int) -> dict[str, nn.Module]:
    """The candidates of an edge, under the names of the benchmark."""
    return {
        "none": Zero(),
        "skip_connect": nn.Identity(),
        "nor_conv_1x1": relu_conv_norm(channels, channels, 1),
        "nor_conv_3x3": relu_conv_norm(channels, channels, 3),
        "avg_pool_3x3": average_pool(),
    }
