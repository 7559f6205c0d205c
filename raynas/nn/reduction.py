"""How several outputs become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor

Reduction = Literal["sum", "mean", "concat", "none"]
REDUCTIONS: tuple[Reduction, ...] = ("sum", "mean", "concat", "none")


def reduce_outputs(outputs: Sequence[Any], reduction: Reduction, weights: Sequence[Tensor] | None = None) -> Any:
    """Reduce the outputs of what was chosen.

    Args:
        outputs: tensors of one shape (of one shape but for dimension 1 with ``"concat"``); anything if there is only one
            and no weights.
        reduction: see ``ReducingChoice``.
        weights: a scalar for each output, multiplied before reducing; ``None`` leaves them as they are.

    Returns:
        A tensor; a list for ``"none"``; ``None`` where nothing was chosen; a single output as it is.
    """
    if weights is not None:
        outputs = [output * weight for output, weight in zip(outputs, weights, strict=True)]
    if reduction == "none":
        return list(outputs)
    if len(outputs) < 2:
        return outputs[0] if outputs else None
    tensors = cast(Sequence[Tensor], outputs)
    if reduction == "concat":
        return torch.cat(list(tensors), dim=1)
    total = tensors[0]
    for output in tensors[1:]:
        total = total + output
    return total / len(tensors) if reduction == "mean" else total
