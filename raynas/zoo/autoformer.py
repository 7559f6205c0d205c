"""``AutoFormer``: a vision transformer with elastic width, depth, heads and MLP ratios. Relative positions are not here."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.errors import OptionError
from raynas.nn import Conv2d, Embedding, LayerNorm, Linear, Repeat, Value, ValueChoice


@dataclass(frozen=True)
class AutoFormerSizes:
    """What an ``AutoFormer`` can choose from.

    Attributes:
        widths: embedding dimensions, one choice for all blocks.
        depths: numbers of blocks.
        heads: numbers of heads, a choice of each block.
        ratios: hidden features of a block's MLP per dimension of the embedding, a choice of each block.
        head_size: dimensions of a head, fixed.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    ratios: tuple[float, ...]
    head_size: int = 64


AUTOFORMER_TINY = AutoFormerSizes((192, 216, 240), (12, 13, 14), (3, 4), (3.5, 4.0))
AUTOFORMER_SMALL = AutoFormerSizes((320, 384, 448), (12, 13, 14), (5, 6, 7), (3.0, 3.5, 4.0))
AUTOFORMER_BASE = AutoFormerSizes((528, 576, 624), (14, 15, 16), (8, 9, 10), (3.0, 3.5, 4.0))


class AutoFormer(nn.Module):
    """A vision transformer of which every size may be smaller: architectures share the first features of each layer.

    Chen et al., "AutoFormer: searching transformers for visual recognition", ICCV 2021, section 3.2; ``AUTOFORMER_TINY``,
    ``AUTOFORMER_SMALL`` and ``AUTOFORMER_BASE`` are the three supernets of its table 2. Its relative position embeddings
    are left out; positions are absolute.

    As in the paper a head keeps its size, so the dimension of queries, keys and values is the number of heads times 64,
    whatever the embedding dimension is. ``raynas.nn.MultiheadAttention`` divides the embedding dimension among the heads
    instead, which needs a multiple of them and does not become cheaper with fewer; so attention is made of four
    ``raynas.nn.Linear``.

    Size: with ``w`` widths, ``h`` numbers of heads and ``m`` ratios w * sum((h * m)**d for d in depths), since blocks beyond
    the depth choose nothing; 3 * (4**12 + 4**13 + 4**14) = 1.1e9 (tiny, the default), 3 * (9**12 + 9**13 + 9**14) = 7.7e13
    (small), 3 * (9**14 + 9**15 + 9**16) = 6.3e15 (base). The paper prints 1.7e16 for the three together, which is
    3 * 3 * (4**14 + 9**14 + 9**16): the choices of blocks beyond the depth are counted too.

    Keys: ``width``, ``depth``, ``block<i>.heads`` and ``block<i>.ratio``.

    Args:
        num_classes: of the output.
        sizes: what can be chosen.
        image_size: height and width of the images, a multiple of ``patch_size``.
        patch_size: height and width of what becomes one token.
        in_channels: of the images.
        dropout: probability, behind the positions and both parts of a block.

    Raises:
        OptionError: patches do not cover the images.

    Shapes:
        Images (batch, in_channels, image_size, image_size) to logits (batch, num_classes).

    Example:
        >>> import torch, raynas
        >>> sizes = AutoFormerSizes(widths=(16, 24), depths=(1, 2), heads=(1, 2, 3), ratios=(1.5, 2.0), head_size=4)
        >>> net = AutoFormer(10, sizes, image_size=8, patch_size=4)
        >>> space = raynas.generate_search_space(net)
        >>> space.size == 2 * (6 + 6**2)
        True
        >>> choices = {"width": 24, "depth": 1, "block0.heads": 3, "block0.ratio": 1.5}
        >>> plain = raynas.freeze(net, {key: {"_value": value} for key, value in choices.items()})
        >>> plain.blocks.blocks[0].up
        Linear(in_features=24, out_features=36, bias=True)
        >>> plain(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        num_classes: int = 1000,
        sizes: AutoFormerSizes = AUTOFORMER_TINY,
        *,
        image_size: int = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise OptionError(
                f"AutoFormer: patches of {patch_size} do not cover images of {image_size}; expected image_size to be a multiple"
            )
        width = ValueChoice(sizes.widths, key="width")
        self.patches = Conv2d(in_channels, width, patch_size, stride=patch_size)
        # Embeddings rather than parameters: theirs are sliced with the width.
        self.class_token = Embedding(1, width)
        self.positions = Embedding(1 + (image_size // patch_size) ** 2, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = Repeat(
            lambda number: AutoFormerBlock(width, sizes, number, dropout), depth=ValueChoice(sizes.depths, key="depth")
        )
        self.norm = LayerNorm(width)
        self.head = Linear(width, num_classes)
        self.apply(_init)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images).flatten(2).transpose(1, 2)  # (batch, patches, width)
        first = self.class_token(torch.zeros(len(images), 1, dtype=torch.long, device=images.device))
        x = torch.cat([first, patches], dim=1)
        x = self.dropout(x + self.positions(torch.arange(x.shape[1], device=images.device)))
        logits: Tensor = self.head(self.norm(self.blocks(x))[:, 0])
        return logits


class AutoFormerBlock(nn.Module):
    """Attention and an MLP, each behind a norm and with its input added.

    Args:
        width: the embedding dimension.
        sizes: what can be chosen.
        number: of the block, for its keys.
        dropout: probability, behind both parts.

    Shapes:
        (batch, tokens, width) to the same.
    """

    def __init__(self, width: Value, sizes: AutoFormerSizes, number: int, dropout: float) -> None:
        super().__init__()
        heads = ValueChoice(sizes.heads, key=f"block{number}.heads")
        hidden = round(width * ValueChoice(sizes.ratios, key=f"block{number}.ratio"))
        self.norm1, self.attention = LayerNorm(width), Attention(width, heads, sizes.head_size)
        self.norm2, self.up, self.down = LayerNorm(width), Linear(width, hidden), Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm1(x)))
        output: Tensor = x + self.dropout(self.down(functional.gelu(self.up(self.norm2(x)))))
        return output


class Attention(nn.Module):
    """Self-attention with as many heads as are chosen, all of one size; the first heads are kept.

    Args:
        width: dimension of inputs and outputs.
        heads: how many there are.
        head_size: dimensions of each.

    Shapes:
        (batch, tokens, width) to the same.
    """

    def __init__(self, width: Value, heads: Value, head_size: int) -> None:
        super().__init__()
        self.head_size = head_size
        inner = heads * head_size
        self.query, self.key, self.value = (Linear(width, inner) for _ in range(3))
        self.out = Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            project(x).unflatten(-1, (-1, self.head_size)).transpose(1, 2)  # (batch, heads, tokens, head_size)
            for project in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        output: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return output


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
