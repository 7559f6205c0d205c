"""``GPT``: a small decoder-only transformer for text, with elastic width, depth, heads and MLP ratios."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.errors import OptionError
from raynas.nn import Embedding, LayerNorm, Linear, MultiheadAttention, Repeat, Value, ValueChoice


@dataclass(frozen=True)
class GPTSizes:
    """What a ``GPT`` can choose from.

    Attributes:
        widths: embedding dimensions, one choice for all blocks; each a multiple of each number of heads.
        depths: numbers of blocks.
        heads: numbers of heads, a choice of each block.
        ratios: hidden features of a block's MLP per dimension of the embedding, a choice of each block.
    """

    widths: tuple[int, ...] = (128, 192, 256)
    depths: tuple[int, ...] = (2, 3, 4, 5, 6)
    heads: tuple[int, ...] = (2, 4, 8)
    ratios: tuple[float, ...] = (2, 3, 4)


class GPT(nn.Module):
    """A language model that sees only what came before; embedding and output share one matrix.

    Radford et al., "Language models are unsupervised multitask learners", 2019, section 2.3, made small enough for text that
    is read by characters; the paper searches nothing.

    Size: with ``w`` widths, ``h`` numbers of heads and ``m`` ratios w * sum((h * m)**d for d in depths), since blocks beyond
    the depth choose nothing; 3 * (9**2 + 9**3 + 9**4 + 9**5 + 9**6) = 1,793,583 by default.

    Heads divide the width, as in the paper: their number changes neither parameters nor FLOPs.

    Keys: ``width``, ``depth``, ``block<i>.heads`` and ``block<i>.ratio``.

    Args:
        num_tokens: how many different tokens there are; 256 for bytes.
        context: the largest number of tokens that can be seen.
        sizes: what can be chosen.
        dropout: probability, behind the embedding, in attention, and behind both parts of a block.

    Raises:
        ModelError: a width is no multiple of a number of heads.
        OptionError: in ``forward``: there are more tokens than ``context``.

    Shapes:
        Tokens (batch, length), integers below ``num_tokens``, to logits of the next one (batch, length, num_tokens).

    Example:
        >>> import torch, raynas
        >>> net = GPT(50, 16, GPTSizes(widths=(8, 16), depths=(1, 2), heads=(1, 2), ratios=(2, 4)))
        >>> space = raynas.generate_search_space(net)
        >>> space.size == 2 * (4 + 4**2)
        True
        >>> choices = {"width": 8, "depth": 1, "block0.heads": 2, "block0.ratio": 4}
        >>> plain = raynas.freeze(net, {key: {"_value": value} for key, value in choices.items()})
        >>> plain(torch.zeros(2, 5, dtype=torch.long)).shape
        torch.Size([2, 5, 50])
    """

    def __init__(
        self, num_tokens: int = 256, context: int = 256, sizes: GPTSizes | None = None, *, dropout: float = 0.1
    ) -> None:
        super().__init__()
        sizes = sizes or GPTSizes()
        self.context = context
        width = ValueChoice(sizes.widths, key="width")
        self.tokens, self.positions = Embedding(num_tokens, width), Embedding(context, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = Repeat(
            lambda number: GPTBlock(width, sizes, number, dropout), depth=ValueChoice(sizes.depths, key="depth")
        )
        self.norm = LayerNorm(width)
        self.head = Linear(width, num_tokens, bias=False)
        self.apply(_init)
        for name, weight in self.named_parameters():
            if name.endswith(("out_proj.weight", "down.weight")):  # each adds to the sum that all blocks add to
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * max(sizes.depths)))
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        if length > self.context:
            raise OptionError(f"GPT: found {length} tokens in a row; expected at most {self.context}, the context")
        x = self.dropout(self.tokens(tokens) + self.positions(torch.arange(length, device=tokens.device)))
        future = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
        logits: Tensor = self.head(self.norm(self.blocks(x, future)))
        return logits


class GPTBlock(nn.Module):
    """Causal attention and an MLP, each behind a norm and with its input added.

    Args:
        width: the embedding dimension.
        sizes: what can be chosen.
        number: of the block, for its keys.
        dropout: probability, in attention and behind both parts.

    Shapes:
        (batch, length, width) and a mask (length, length), true where attention is not allowed, to (batch, length, width).
    """

    def __init__(self, width: Value, sizes: GPTSizes, number: int, dropout: float) -> None:
        super().__init__()
        heads = ValueChoice(sizes.heads, key=f"block{number}.heads")
        hidden = round(width * ValueChoice(sizes.ratios, key=f"block{number}.ratio"))
        self.norm1, self.attention = LayerNorm(width), MultiheadAttention(width, heads, dropout, batch_first=True)
        self.norm2, self.up, self.down = LayerNorm(width), Linear(width, hidden), Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, future: Tensor) -> Tensor:
        normed = self.norm1(x)
        mixed, _ = self.attention(normed, normed, normed, need_weights=False, attn_mask=future, is_causal=True)
        x = x + self.dropout(mixed)
        output: Tensor = x + self.dropout(self.down(functional.gelu(self.up(self.norm2(x)))))
        return output


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.MultiheadAttention):
        nn.init.normal_(module.in_proj_weight, std=0.02)
