"""``Embedding`` with sizes that may be values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from raynas.errors import ModelError
from raynas.nn.layers.base import Number, SlicedLayer, Tensors, largest
from raynas.nn.value import possible


class Embedding(SlicedLayer, nn.Embedding):
    """``torch.nn.Embedding``; the first entries and the first dimensions are kept.

    Args:
        num_embeddings, embedding_dim: numbers or values.
        padding_idx: as torch's, counted from 0 and there with every number of embeddings.

    Shapes:
        Input integers of any shape (\\*), output (\\*, embedding_dim), by the current values.

    Raises:
        ModelError: ``padding_idx`` is out of range.
    """

    plain = nn.Embedding

    def __init__(self, num_embeddings: Number, embedding_dim: Number, padding_idx: int | None = None) -> None:
        sizes = (largest("Embedding", "num_embeddings", num_embeddings), largest("Embedding", "embedding_dim", embedding_dim))
        fewest = min(possible(num_embeddings))
        if padding_idx is not None and not 0 <= padding_idx < fewest:
            raise ModelError(f"Embedding: padding_idx is {padding_idx}; expected 0 to {fewest - 1}")
        nn.Embedding.__init__(self, *sizes, padding_idx=padding_idx)
        self.take(num_embeddings=num_embeddings, embedding_dim=embedding_dim, padding_idx=padding_idx)

    def cut(self, tensors: Tensors, now: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"weight": tensors["weight"][: now["num_embeddings"], : now["embedding_dim"]]}

    def forward(self, input: Tensor) -> Tensor:
        cut = self.cut(self.whole(), self.now())
        return functional.embedding(input, cut["weight"], self.padding_idx)
