"""``Snapshot``: the state of a training as it is at one moment, in host memory, while training goes on."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor


class Snapshot:
    """Copies states; each copy takes the place of the one before, in the same memory.

    Copies of what is on a GPU lie in pinned memory, so that they are made at the speed of the bus.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], Tensor] = {}
        self._used: dict[tuple[Any, ...], Tensor] = {}
        self._seen: dict[tuple[Any, ...], Tensor] = {}
        self._keep: list[Tensor] = []

    def take(self, state: Any) -> Any:
        """A copy of dicts, lists and tuples with everything in them. A tensor that occurs twice is copied once."""
        self._used, self._seen, self._keep = {}, {}, []
        copied = self._copy(state, ())
        for device in {tensor.device for tensor in self._keep if tensor.is_cuda}:
            torch.cuda.synchronize(device)
        self._kept, self._used, self._seen, self._keep = self._used, {}, {}, []
        return copied

    def _copy(self, value: Any, path: tuple[Any, ...]) -> Any:
        if isinstance(value, Tensor):
            return self._copy_tensor(value.detach(), path)
        if isinstance(value, dict):
            copied = copy.copy(value)  # of its own kind, with what else is in it
            for key, entry in value.items():
                copied[key] = self._copy(entry, (*path, key))
            return copied
        if type(value) in (list, tuple):
            return type(value)(self._copy(entry, (*path, number)) for number, entry in enumerate(value))
        return copy.deepcopy(value)

    def _copy_tensor(self, tensor: Tensor, path: tuple[Any, ...]) -> Tensor:
        same = (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if tensor.numel() and same in self._seen:
            return self._seen[same]
        host = self._kept.get(path)
        if host is None or host.shape != tensor.shape or host.dtype != tensor.dtype:
            host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
        host.copy_(tensor, non_blocking=True)
        self._keep.append(tensor)  # alive until the copy is done, so that no other tensor gets its address
        self._used[path] = self._seen[same] = host
        return host
