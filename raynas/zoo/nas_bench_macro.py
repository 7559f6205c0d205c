"""``NasBenchMacro``: the space of NAS-Bench-Macro. The table of its results is not here."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from raynas.errors import ModelError
from raynas.nn import LayerChoice
from raynas.zoo.blocks import classifier

CANDIDATES = ("identity", "expand3_kernel3", "expand6_kernel5")
NUM_LAYERS = 8


class NasBenchMacro(nn.Module):
    """A chain of 8 layers in three stages; each layer is left out or is one of two MobileNetV2 blocks.

    Su et al., "Prioritized Architecture Sampling with Monto-Carlo Tree Search", CVPR 2021: NAS-Bench-Macro. The
    blocks are inverted residuals (Sandler et al., "MobileNetV2", CVPR 2018) with expansion 3 and kernel 3, or expansion 6 and
    kernel 5. The first layer of each stage halves the size and changes the channels; ``identity`` is there a 1x1 convolution
    with stride 2 and batch norm, since nothing less would fit.

    Size: 3 candidates in each of 8 layers: 3**8 = 6,561, as in the paper. Of these 3,969 are different networks, since
    identities that do not come first in their stage can trade places with what follows: for a stage of 1 + n layers it is
    3 * (1 + 2 + ... + 2**n), so 9 * 21 * 21.

    With the default arguments parameters are those of the benchmark's table for all of the 6,561, and so are its ``flops``,
    which count multiply-adds (half of ``raynas.nn.profile``). What the table cannot tell is taken from MobileNetV2: the
    activation is ReLU6, and there is none after the last convolution of a block or after ``identity``.

    Args:
        num_classes: of the classifier.
        stage_channels: of the three stages.
        head_channels: of the 1x1 convolution before the classifier.
        depths: layers in each stage; 8 in all, as many as ``architecture_of`` reads.
        stem_channels: of the first convolution.
        in_channels: of the image.

    Shapes:
        Input (batch, in_channels, height, width), output (batch, num_classes).

    Raises:
        ModelError: ``stage_channels`` and ``depths`` have different lengths.

    Example:
        >>> import torch
        >>> from raynas.nn import freeze, generate_search_space
        >>> net = NasBenchMacro(stage_channels=(4, 4, 8), head_channels=8)
        >>> generate_search_space(net).size
        6561
        >>> best = freeze(net, NasBenchMacro.architecture_of("22212220"))
        >>> best(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        num_classes: int = 10,
        stage_channels: Sequence[int] = (64, 128, 256),
        head_channels: int = 1280,
        *,
        depths: Sequence[int] = (2, 3, 3),
        stem_channels: int = 32,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if len(stage_channels) != len(depths):
            raise ModelError(
                f"NasBenchMacro: stage_channels has {len(stage_channels)} entries, depths {len(depths)}; expected as many"
            )
        self.stem = conv_norm(in_channels, stem_channels, 3)
        self.layers = nn.ModuleList()
        channels = stem_channels
        for width, depth in zip(stage_channels, depths, strict=True):
            for position in range(depth):
                stride = 2 if position == 0 else 1
                key = f"layer{len(self.layers) + 1}"
                self.layers.append(LayerChoice(operators(channels, width, stride), key=key))
                channels = width
        self.head = nn.Sequential(conv_norm(channels, head_channels, 1), classifier(head_channels, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        output: Tensor = self.head(x)
        return output

    @staticmethod
    def architecture_of(digits: str) -> dict[str, dict[str, int]]:
        """The architecture that the benchmark writes as 8 digits, ``0`` for the identity.

        Raises:
            ModelError: these are not 8 digits from 0 to 2.

        Example:
            >>> NasBenchMacro.architecture_of("20000001")["layer1"]
            {'_idx': 2}
        """
        if len(digits) != NUM_LAYERS or not set(digits) <= set("012"):
            raise ModelError(f"found the architecture {digits!r}; expected {NUM_LAYERS} digits from 0 to 2")
        return {f"layer{number}": {"_idx": int(digit)} for number, digit in enumerate(digits, 1)}


class InvertedResidual(nn.Module):
    """A block of MobileNetV2: 1x1 to more channels, depthwise, 1x1 back; the input is added where it has the same shape."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, expansion: int, kernel: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.adds_input = stride == 1 and inputs == outputs
        self.convs = nn.Sequential(
            conv_norm(inputs, hidden, 1),
            conv_norm(hidden, hidden, kernel, stride, groups=hidden),
            conv_norm(hidden, outputs, 1, activation=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.convs(x)
        return output + x if self.adds_input else output


def operators(inputs: int, outputs: int, stride: int) -> dict[str, nn.Module]:
    """The candidates of a layer, in the order of the benchmark's digits."""
    same = stride == 1 and inputs == outputs
    layers = (
        nn.Identity() if same else conv_norm(inputs, outputs, 1, stride, activation=False),
        InvertedResidual(inputs, outputs, stride, expansion=3, kernel=3),
        InvertedResidual(inputs, outputs, stride, expansion=6, kernel=5),
    )
    return dict(zip(CANDIDATES, layers, strict=True))


def conv_norm(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, *, activation: bool = True
) -> nn.Sequential:
    """Convolution and batch norm, with ReLU6 or without."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    layers = [conv, nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, nn.ReLU6()) if activation else nn.Sequential(*layers)
