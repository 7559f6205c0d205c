"""Layers of torch with sizes that may be values, one kind a file. What they share is in ``base``."""

from raynas.nn.layers.attention import MultiheadAttention
from raynas.nn.layers.conv import Conv1d, Conv2d
from raynas.nn.layers.dropout import Dropout
from raynas.nn.layers.embedding import Embedding
from raynas.nn.layers.linear import Linear
from raynas.nn.layers.norm import BatchNorm1d, BatchNorm2d, LayerNorm

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "Dropout",
    "Embedding",
    "LayerNorm",
    "Linear",
    "MultiheadAttention",
]
