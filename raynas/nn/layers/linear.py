"""``Linear`` with numbers of features that may be values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from raynas.nn.layers.base import Number, SlicedLayer, Tensors, largest


class Linear(SlicedLayer, nn.Linear):
    """``torch.nn.Linear``; the first features are kept.

    Args:
        in_features, out_features: numbers or values.
        bias: whether there is one.

    Shapes:
        Input (\\*, in_features), output (\\*, out_features), by the current values.

    Example:
        >>> import torch
        >>> from raynas.nn import Linear, ValueChoice, freeze
        >>> layer = nn.Sequential(Linear(4, ValueChoice([8, 16], key="width")))
        >>> freeze(layer, {"width": {"_value": 8}})
        Sequential(
          (0): Linear(in_features=4, out_features=8, bias=True)
        )
    """

    plain = nn.Linear

    def __init__(self, in_features: Number, out_features: Number, bias: bool = True) -> None:
        sizes = (largest("Linear", "in_features", in_features), largest("Linear", "out_features", out_features))
        nn.Linear.__init__(self, *sizes, bias=bias)
        self.take(in_features=in_features, out_features=out_features, bias=bias)

    def cut(self, tensors: Tensors, now: Mapping[str, Any]) -> dict[str, Tensor]:
        cut = {"weight": tensors["weight"][: now["out_features"], : now["in_features"]]}
        if "bias" in tensors:
            cut["bias"] = tensors["bias"][: now["out_features"]]
        return cut

    def forward(self, input: Tensor) -> Tensor:
        cut = self.cut(self.whole(), self.now())
        return functional.linear(input, cut["weight"], cut.get("bias"))
