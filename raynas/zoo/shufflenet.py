"""``ShuffleNet``: ShuffleNetV2 with a choice of four blocks everywhere, the space of single-path one-shot search."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from raynas.errors import OptionError
from raynas.nn import LayerChoice


class ShuffleNet(nn.Module):
    """A row of ShuffleNetV2 blocks; each is one of four.

    Guo et al., "Single path one-shot neural architecture search with uniform sampling", ECCV 2020, section 4 and table 1,
    around ShuffleNetV2 (Ma et al., ECCV 2018). Channels are fixed; the search over channels of the paper's second experiment
    is not here.

    Of ``n`` blocks with four candidates each there are 4**n architectures: 4**20 = 1.1e12 by default, as the paper says.

    Keys are ``stage<i>.block<j>``; candidates ``shuffle_3x3``, ``shuffle_5x5``, ``shuffle_7x7`` and ``xception``.

    Args:
        num_classes: of the output.
        stages: channels (even) and number of blocks of each; the first block of a stage halves height and width.
        in_channels: of the images.
        stem_channels: of the first convolution, even.
        stem_stride: of the first convolution; 1 suits images of 32 x 32.
        head_channels: of the last convolution.

    Raises:
        OptionError: numbers of channels are not even.

    Shapes:
        Images (batch, in_channels, height, width) to logits (batch, num_classes).

    Example:
        >>> import torch, raynas
        >>> net = ShuffleNet(10, ((16, 2), (24, 1)), stem_channels=8, head_channels=32)
        >>> raynas.generate_search_space(net).size == 4**3
        True
        >>> choices = {"stage0.block0": "shuffle_3x3", "stage0.block1": "xception", "stage1.block0": "shuffle_7x7"}
        >>> plain = raynas.freeze(net, {key: {"_value": name} for key, name in choices.items()})
        >>> plain(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        num_classes: int = 1000,
        stages: Sequence[tuple[int, int]] = ((64, 4), (160, 4), (320, 8), (640, 4)),
        *,
        in_channels: int = 3,
        stem_channels: int = 16,
        stem_stride: int = 2,
        head_channels: int = 1024,
    ) -> None:
        super().__init__()
        odd = [channels for channels in (stem_channels, *(channels for channels, _ in stages)) if channels % 2]
        if odd:
            raise OptionError(f"ShuffleNet: {odd[0]} channels cannot be split in halves; expected even numbers")
        self.stem = nn.Sequential(*_conv(in_channels, stem_channels, 3, stem_stride))
        blocks, channels = [], stem_channels
        for number, (outputs, num_blocks) in enumerate(stages):
            for block in range(num_blocks):
                candidates = {
                    name: ShuffleBlock(channels, outputs, branch, stride=2 if block == 0 else 1)
                    for name, branch in BRANCHES.items()
                }
                blocks.append(LayerChoice(candidates, key=f"stage{number}.block{block}"))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            *_conv(channels, head_channels, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(head_channels, num_classes)
        )
        self.apply(_init)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(self.stem(images)))
        return logits


class ShuffleBlock(nn.Module):
    """Two halves: one is computed, the other passed on (stride 1) or only shrunk (stride 2); then channels are interleaved.

    Args:
        in_channels, out_channels: even; equal with stride 1.
        branch: makes the modules of the half that is computed, from inputs, outputs and stride.
        stride: 1 or 2.
    """

    def __init__(self, in_channels: int, out_channels: int, branch: Branch, *, stride: int) -> None:
        super().__init__()
        half = out_channels // 2
        computed, kernel = branch(in_channels if stride == 2 else half, half, stride)
        self.computed = nn.Sequential(*computed)
        self.shrink = None
        if stride == 2:
            self.shrink = nn.Sequential(*_depthwise(in_channels, kernel, 2), *_conv(in_channels, half, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.shrink is None:
            kept, x = x.chunk(2, dim=1)
        else:
            kept = self.shrink(x)
        both = torch.cat([kept, self.computed(x)], dim=1)
        return both.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)  # a channel of one half, a channel of the other


Branch = Callable[[int, int, int], tuple[list[nn.Module], int]]  # gives the modules and the kernel


def _shuffle(kernel: int) -> Branch:
    def branch(inputs: int, outputs: int, stride: int) -> tuple[list[nn.Module], int]:
        return [*_conv(inputs, outputs, 1, 1), *_depthwise(outputs, kernel, stride), *_conv(outputs, outputs, 1, 1)], kernel

    return branch


def _xception(inputs: int, outputs: int, stride: int) -> tuple[list[nn.Module], int]:
    modules = [*_depthwise(inputs, 3, stride), *_conv(inputs, outputs, 1, 1)]
    for _ in range(2):
        modules += [*_depthwise(outputs, 3, 1), *_conv(outputs, outputs, 1, 1)]
    return modules, 3


BRANCHES: dict[str, Branch] = {
    "shuffle_3x3": _shuffle(3),
    "shuffle_5x5": _shuffle(5),
    "shuffle_7x7": _shuffle(7),
    "xception": _xception,
}


def _conv(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


def _depthwise(channels: int, kernel: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
    return [conv, nn.BatchNorm2d(channels)]


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
