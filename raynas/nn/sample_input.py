"""``place_inputs``: the sample input that users hand over, as the arguments of ``forward`` on a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def place_inputs(sample_input: Any, device: str | torch.device) -> tuple[Any, ...]:
    """The arguments of ``forward``, all tensors on ``device``.

    Args:
        sample_input: a tuple of the arguments, else the only one; tensors may lie in tuples, lists and mappings.
        device: where to.

    Example:
        >>> place_inputs(torch.zeros(2), "meta")[0].device.type
        'meta'
    """
    arguments = sample_input if isinstance(sample_input, tuple) else (sample_input,)
    return tuple(_place(argument, torch.device(device)) for argument in arguments)


def _place(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: _place(entry, device) for name, entry in value.items()}
    if isinstance(value, list):
        return [_place(entry, device) for entry in value]
    if isinstance(value, tuple):
        entries = [_place(entry, device) for entry in value]
        return type(value)(*entries) if hasattr(value, "_fields") else tuple(entries)
    return value
