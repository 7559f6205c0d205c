"""``MultiheadAttention`` with a dimension and a number of heads that may be values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.errors import ModelError
from raynas.nn.layers.base import Number, SlicedLayer, Tensors, largest
from raynas.nn.value import Value, joint


class MultiheadAttention(SlicedLayer, nn.MultiheadAttention):
    """``torch.nn.MultiheadAttention``; queries, keys and values are sliced each on its own.

    Of each of the three projections the first ``embed_dim`` outputs are kept, which are the first heads where the size of a
    head does not change (``MultiheadAttention(heads * 64, heads)``), and the first ``embed_dim`` inputs.

    Args:
        embed_dim, num_heads: numbers or values; whatever they become, the first is a multiple of the second.
        dropout: probability, a number or a value.
        bias: whether the projections have one.
        batch_first: whether inputs are (batch, length, embed_dim) rather than (length, batch, embed_dim).

    Raises:
        ModelError: the heads do not share the dimensions evenly.
    """

    plain = nn.MultiheadAttention
    unvarying = frozenset({"bias", "batch_first"})

    def __init__(
        self,
        embed_dim: Number,
        num_heads: Number,
        dropout: float | Value = 0.0,
        bias: bool = True,
        batch_first: bool = False,
    ) -> None:
        most = largest("MultiheadAttention", "embed_dim", embed_dim)
        largest("MultiheadAttention", "num_heads", num_heads)
        for dim, heads in joint(embed_dim, num_heads):
            if dim % heads:
                raise ModelError(f"MultiheadAttention: {heads} heads cannot share {dim} dimensions; expected a multiple")
        nn.MultiheadAttention.__init__(self, most, 1, bias=bias, batch_first=batch_first)
        self.take(embed_dim=embed_dim, num_heads=num_heads, dropout=dropout, bias=bias, batch_first=batch_first)

    def cut(self, tensors: Tensors, now: Mapping[str, Any]) -> dict[str, Tensor]:
        dim = now["embed_dim"]
        cut = {"out_proj.weight": tensors["out_proj.weight"][:dim, :dim]}
        for name in ("in_proj_weight", "in_proj_bias"):
            if name in tensors:
                cut[name] = _each_third(tensors[name], dim)
        if "out_proj.bias" in tensors:
            cut["out_proj.bias"] = tensors["out_proj.bias"][:dim]
        return cut

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As torch's, with the current dimension; returns the output and, where they are needed, the attention weights."""
        now = self.now()
        if now["embed_dim"] == self.embed_dim:  # nothing is sliced: torch's own, to the last bit
            self.num_heads, self.head_dim = now["num_heads"], self.embed_dim // now["num_heads"]
            self.dropout = now["dropout"]
            whole: tuple[Tensor, Tensor | None] = nn.MultiheadAttention.forward(
                self, query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
            )
            return whole
        if self.batch_first and query.dim() == 3:
            query, key, value = query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1)
        cut = self.cut(self.whole(), now)
        output, weights = functional.multi_head_attention_forward(
            query, key, value, now["embed_dim"], now["num_heads"], cut["in_proj_weight"], cut.get("in_proj_bias"), None, None,
            False, now["dropout"], cut["out_proj.weight"], cut.get("out_proj.bias"), self.training, key_padding_mask,
            need_weights, attn_mask, average_attn_weights=average_attn_weights, is_causal=is_causal,
        )  # fmt: skip
        return (output.transpose(0, 1) if self.batch_first and query.dim() == 3 else output), weights


def _each_third(joined: Tensor, dim: int) -> Tensor:
    """The first ``dim`` rows, and columns if there are any, of the three projections that are joined in one tensor."""
    if joined.shape[0] == 3 * dim:
        return joined
    thirds = joined.chunk(3)
    return torch.cat([third[:dim, :dim] if joined.dim() == 2 else third[:dim] for third in thirds])
