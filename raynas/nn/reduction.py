"""How several outputs become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor

from raynas.errors import ModelError

Reduction = Literal["sum", "mean", "concat", "none"]
REDUCTIONS: tuple[Reduction, ...] = ("sum", "mean", "concat", "none")


def reduce_outputs(outputs: Sequence[Any], reduction: Reduction, weights: Sequence[Tensor] | None = None) -> Any:
    """Reduce the outputs of what was chosen.

    Args:
        outputs: tensors of one shape (of one shape but for dimension 1 with ``"concat"``); or tuples of those, or of ``None``,
            which are reduced entry by entry; anything if there is only one and no weights.
        reduction: see ``ReducingChoice``.
        weights: a scalar for each output, multiplied before reducing; ``None`` leaves them as they are.

    Returns:
        A tensor or a tuple; a list for ``"none"``; ``None`` where nothing was chosen; a single output as it is.

    Raises:
        ModelError: outputs are tuples and others, or tuples of different lengths.
    """
    if weights is not None:
        outputs = [_weigh(output, weight) for output, weight in zip(outputs, weights, strict=True)]
    if reduction == "none":
        return list(outputs)
    if len(outputs) < 2:
        return outputs[0] if outputs else None
    return _reduce_alike(outputs, reduction)


def _weigh(output: Any, weight: Tensor) -> Any:
    if isinstance(output, tuple):
        return tuple(_weigh(entry, weight) for entry in output)
    return None if output is None else output * weight


def _reduce_alike(outputs: Sequence[Any], reduction: Reduction) -> Any:
    if any(isinstance(output, tuple) for output in outputs):
        lengths = {len(output) if isinstance(output, tuple) else None for output in outputs}
        if len(lengths) > 1:
            raise ModelError(
                f"reduction {reduction!r}: found {', '.join(type(output).__name__ for output in outputs)}; "
                "expected tuples of one length from all candidates, or from none"
            )
        return tuple(_reduce_alike(entries, reduction) for entries in zip(*outputs, strict=True))
    if all(output is None for output in outputs):  # as the weights of an attention that was not asked for them
        return None
    tensors = cast(Sequence[Tensor], outputs)
    if reduction == "concat":
        return torch.cat(list(tensors), dim=1)
    total = tensors[0]
    for output in tensors[1:]:
        total = total + output
    return total / len(tensors) if reduction == "mean" else total
