"""``ShuffleNet``: ShuffleNetV2 with a choice of four blocks everywhere, the space of single-path one-shot search."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.errors import OptionError
from raynas.nn import LayerChoice
from raynas.zoo.blocks import classifier


class ShuffleNet(nn.Module):
    """A row of ShuffleNetV2 blocks; each is one of four.

    Guo et al., "Single path one-shot neural architecture search with uniform sampling", ECCV 2020, section 4 and table 1,
    around ShuffleNetV2 (Ma et al., ECCV 2018). Channels are fixed; the search over channels of the paper's second experiment
    is not here.

    Size: four candidates for each of ``n`` blocks, 4**n; 4**20 = 1.1e12 by default, as in the paper.

    Keys: ``stage<i>.block<j>``; candidates ``shuffle_3x3``, ``shuffle_5x5``, ``shuffle_7x7`` and ``xception``.

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
                candidates = _candidates(channels, outputs, 2 if block == 0 else 1)
                blocks.append(LayerChoice(candidates, key=f"stage{number}.block{block}"))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(*_conv(channels, head_channels, 1, 1), classifier(head_channels, num_classes))
        self.apply(_init)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(self.stem(images)))
        return logits


class ShuffleBlock(nn.Module):
    """Two halves: one is computed, the other passed on (stride 1) or only shrunk (stride 2); then channels are interleaved.

    Args:
        in_channels, out_channels: even; equal with stride 1.
        stride: 1 or 2.
        kernel: of the depthwise convolutions, odd.
        xception: whether there are three depthwise convolutions, each with a pointwise one behind it, instead of one between
            two pointwise ones.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, kernel: int = 3, xception: bool = False) -> None:
        super().__init__()
        half = out_channels // 2
        inputs = in_channels if stride == 2 else half
        if xception:
            computed = [*_depthwise(inputs, kernel, stride), *_conv(inputs, half, 1, 1)]
            for _ in range(2):
                computed += [*_depthwise(half, kernel, 1), *_conv(half, half, 1, 1)]
        else:
            computed = [*_conv(inputs, half, 1, 1), *_depthwise(half, kernel, stride), *_conv(half, half, 1, 1)]
        self.computed = nn.Sequential(*computed)
        self.shrink = None
        if stride == 2:
            self.shrink = nn.Sequential(*_depthwise(in_channels, kernel, 2), *_conv(in_channels, half, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.shrink is None:
            kept, x = x.chunk(2, dim=1)
        else:
            kept = self.shrink(x)
        return functional.channel_shuffle(torch.cat([kept, self.computed(x)], dim=1), groups=2)


def _candidates(in_channels: int, out_channels: int, stride: int) -> dict[str, nn.Module]:
    """The four blocks of the paper."""
    blocks: dict[str, nn.Module] = {
        f"shuffle_{kernel}x{kernel}": ShuffleBlock(in_channels, out_channels, stride, kernel=kernel) for kernel in (3, 5, 7)
    }
    return {**blocks, "xception": ShuffleBlock(in_channels, out_channels, stride, xception=True)}


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
