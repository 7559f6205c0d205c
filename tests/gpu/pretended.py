"""A device that is not there: its tensors are computed on the CPU, but do not mix with the CPU's, as those of a GPU do not."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")  # backward needs no threads of its own for it
_aten = torch.ops.aten
_MOVES = (_aten._to_copy.default, _aten.copy_.default, _aten._foreach_copy_.default)
_TAKE_INDICES = (_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default)


class Pretended(TorchDispatchMode):
    """Inside, there is the device ``DEVICE``."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _call(func, args, kwargs or {})


class _There(Tensor):
    """A tensor on the device; ``here`` is what it holds."""

    here: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, here: Tensor) -> "_There":
        made = Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype, device=DEVICE
        )
        made.here = here
        return made

    def tolist(self) -> Any:
        return self.here.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        return _call(func, args, kwargs or {})


def _call(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, _There)]
    if there and func not in _MOVES:
        here = [tensor for tensor in tensors if not isinstance(tensor, _There)]
        strangers = [tensor for tensor in here if tensor.dim()]  # one number may come from anywhere
        if (strangers and func not in _TAKE_INDICES) or (here and tensors[0] is here[0]):
            raise RuntimeError(f"{func}: the tensors lie on two devices")
    stays = isinstance(args[0], _There) if func in _MOVES else bool(there)
    if kwargs.get("device") is not None:
        stays, kwargs = torch.device(kwargs["device"]) == DEVICE, {**kwargs, "device": torch.device("cpu")}
    known = {id(tensor.here): tensor for tensor in there}  # what is changed in place is given back as it is

    def back(value: Any) -> Any:
        if not stays or not isinstance(value, Tensor):
            return value
        return known[id(value)] if id(value) in known else _There(value)

    arguments = tree_map(lambda value: value.here if isinstance(value, _There) else value, (args, kwargs))
    return tree_map(back, func(*arguments[0], **arguments[1]))
