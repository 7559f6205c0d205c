"""``Dropout`` with a probability that may be a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from raynas.errors import ModelError
from raynas.nn.layers.base import SlicedLayer, Tensors
from raynas.nn.value import Value, current, possible


class Dropout(SlicedLayer, nn.Dropout):
    """``torch.nn.Dropout``.

    Args:
        p: probability of a zero, a number or a value.

    Shapes:
        Input and output of any shape.

    Raises:
        ModelError: ``p`` can become something that is no probability.
    """

    plain = nn.Dropout

    def __init__(self, p: float | Value = 0.5) -> None:
        wrong = [value for value in possible(p) if not isinstance(value, int | float) or not 0 <= value <= 1]
        if wrong:
            raise ModelError(f"Dropout: p can become {wrong[0]!r}; expected a number from 0 to 1")
        nn.Dropout.__init__(self, max(possible(p)))
        self.take(p=p)

    def cut(self, tensors: Tensors, now: Mapping[str, Any]) -> dict[str, Tensor]:
        return {}

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout(input, current(self.settings["p"]), self.training)
