"""``MobileNet``: inverted residual blocks whose kernels and expansions are chosen, as in ProxylessNAS and MobileNetV3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from raynas.errors import OptionError
from raynas.nn import LayerChoice


@dataclass(frozen=True)
class MobileStage:
    """Layers that give the same number of channels; the first of them has the stride.

    Attributes:
        channels: that each layer gives.
        num_layers: how many layers there are.
        stride: of the first one.
        activation: the class of the nonlinearity.
        squeeze_excite: whether channels are weighed by their means (Hu et al., CVPR 2018).
    """

    channels: int
    num_layers: int
    stride: int
    activation: type[nn.Module] = nn.ReLU6
    squeeze_excite: bool = False


@dataclass(frozen=True)
class MobileDesign:
    """What is fixed about a ``MobileNet``.

    Attributes:
        stages: of the layers that are searched.
        stem: channels of the first convolution.
        first: channels of the one block between stem and stages, which is not searched.
        head: features behind the last stage: those of a 1x1 convolution, then, behind the pooling, of linear layers.
        stem_stride: stride of the first convolution; 1 suits images of 32 x 32.
        activation: of stem and head.
    """

    stages: tuple[MobileStage, ...]
    stem: int = 32
    first: int = 16
    head: tuple[int, ...] = (1280,)
    stem_stride: int = 2
    activation: type[nn.Module] = nn.ReLU6


PROXYLESS = MobileDesign(
    tuple(MobileStage(*row) for row in ((24, 4, 2), (40, 4, 2), (80, 4, 2), (96, 4, 1), (192, 4, 2), (320, 1, 1)))
)

MOBILENET_V3 = MobileDesign(
    (
        MobileStage(24, 4, 2, nn.ReLU),
        MobileStage(40, 4, 2, nn.ReLU, squeeze_excite=True),
        MobileStage(80, 4, 2, nn.Hardswish),
        MobileStage(112, 4, 1, nn.Hardswish, squeeze_excite=True),
        MobileStage(160, 4, 2, nn.Hardswish, squeeze_excite=True),
    ),
    stem=16,
    head=(960, 1280),
    activation=nn.Hardswish,
)


class MobileNet(nn.Module):
    """A row of inverted residual blocks; each layer chooses the kernel and the expansion of its block, or to have none.

    Cai et al., "ProxylessNAS: direct neural architecture search on target task and hardware", ICLR 2019, section 4.2, whose
    21 layers are the default. ``MOBILENET_V3`` is the same kind of space around MobileNetV3-Large (Howard et al., "Searching
    for MobileNetV3", ICCV 2019, table 1) with four layers a stage, as in Once-for-all (Cai et al., ICLR 2020).

    Size: with ``c`` kernels times expansions and ``n`` layers, of which ``r`` keep their input's shape and so may be left out
    (a skip), c**(n - r) * (c + 1)**r; 6**6 * 7**15 = 2.2e17 by default, 6**5 * 7**15 = 3.7e16 for MobileNetV3. Papers that
    use the space print 7**21 = 5.6e17 (You et al., "GreedyNAS", CVPR 2020), which counts a skip in each layer; but the
    first layer of a stage changes the shape.

    Keys: ``stage<i>.layer<j>``; candidates ``mb<expansion>_<kernel>x<kernel>`` and ``skip``.

    Args:
        num_classes: of the output.
        design: stages, stem and head.
        kernels: candidates, odd.
        expansions: candidates: how many times as many channels the depthwise convolution has as the block's input.
        in_channels: of the images.
        dropout: probability, before the classifier.

    Raises:
        OptionError: a kernel is not odd, or the head is empty.

    Shapes:
        Images (batch, in_channels, height, width) to logits (batch, num_classes). Height and width shrink by the product of
        the strides, 32 by default.

    Example:
        >>> import torch, raynas
        >>> design = MobileDesign((MobileStage(8, 2, 2), MobileStage(12, 2, 1)), stem=8, first=8, head=(16,))
        >>> net = MobileNet(10, design)
        >>> space = raynas.generate_search_space(net)
        >>> space.size == 6**2 * 7**2
        True
        >>> choices = {"stage0.layer0": "mb3_5x5", "stage0.layer1": "skip", "stage1.layer0": "mb6_3x3", "stage1.layer1": "skip"}
        >>> plain = raynas.freeze(net, {key: {"_value": name} for key, name in choices.items()})
        >>> plain(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        num_classes: int = 1000,
        design: MobileDesign = PROXYLESS,
        *,
        kernels: Sequence[int] = (3, 5, 7),
        expansions: Sequence[int] = (3, 6),
        in_channels: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not design.head or any(kernel % 2 == 0 for kernel in kernels):
            raise OptionError(f"MobileNet: kernels {tuple(kernels)}, head {design.head}; expected odd kernels, and a head")
        self.stem = _conv(in_channels, design.stem, 3, design.stem_stride, design.activation)
        first = MobileStage(design.first, 1, 1, design.stages[0].activation if design.stages else design.activation)
        self.first = InvertedResidual(design.stem, first, 3, expansion=1)
        sizes = [(kernel, expansion) for expansion in expansions for kernel in kernels]
        layers, channels = [], design.first
        for number, stage in enumerate(design.stages):
            for layer in range(stage.num_layers):
                candidates = _candidates(channels, stage, sizes, stage.stride if layer == 0 else 1)
                layers.append(LayerChoice(candidates, key=f"stage{number}.layer{layer}"))
                channels = stage.channels
        self.layers = nn.Sequential(*layers)
        self.head = _head(channels, design, num_classes, dropout)
        self.apply(_init)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layers(self.first(self.stem(images))))
        return logits


class InvertedResidual(nn.Module):
    """Widen, convolve each channel, narrow (Sandler et al., "MobileNetV2", CVPR 2018); the input is added where it fits.

    Args:
        in_channels: of the input.
        stage: says channels of the output, activation and whether channels are weighed.
        kernel: of the depthwise convolution, odd.
        expansion: with 1 there is nothing to widen.
        stride: of the depthwise convolution.
    """

    def __init__(self, in_channels: int, stage: MobileStage, kernel: int, *, expansion: int, stride: int = 1) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.residual = stride == 1 and in_channels == stage.channels
        self.body = nn.Sequential(
            _conv(in_channels, wide, 1, 1, stage.activation) if expansion > 1 else nn.Identity(),
            nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            stage.activation(),
            SqueezeExcite(wide) if stage.squeeze_excite else nn.Identity(),
            nn.Conv2d(wide, stage.channels, 1, bias=False),
            nn.BatchNorm2d(stage.channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.body(x)
        return x + output if self.residual else output


class SqueezeExcite(nn.Module):
    """Weighs each channel by a number from 0 to 1 that is computed from the means of all of them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(8, channels // 4)  # MobileNetV3, section 5.3; below 8 little is gained
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, narrow, 1), nn.ReLU(), nn.Conv2d(narrow, channels, 1), nn.Hardsigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        weighed: Tensor = x * self.weigh(x)
        return weighed


def _candidates(in_channels: int, stage: MobileStage, sizes: Sequence[tuple[int, int]], stride: int) -> dict[str, nn.Module]:
    """What one layer may be; ``sizes``: kernels and expansions."""
    blocks: dict[str, nn.Module] = {
        f"mb{expansion}_{kernel}x{kernel}": InvertedResidual(in_channels, stage, kernel, expansion=expansion, stride=stride)
        for kernel, expansion in sizes
    }
    return {**blocks, "skip": nn.Identity()} if stride == 1 and in_channels == stage.channels else blocks


def _conv(inputs: int, outputs: int, kernel: int, stride: int, activation: type[nn.Module]) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), activation())


def _head(channels: int, design: MobileDesign, num_classes: int, dropout: float) -> nn.Sequential:
    parts: list[nn.Module] = [
        _conv(channels, design.head[0], 1, 1, design.activation), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ]  # fmt: skip
    for inputs, outputs in zip(design.head, design.head[1:], strict=False):
        parts += [nn.Linear(inputs, outputs), design.activation()]
    return nn.Sequential(*parts, nn.Dropout(dropout), nn.Linear(design.head[-1], num_classes))


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
