"""``Varying``: a module that becomes another one when the model is frozen; ``Choices``: what an architecture decides for it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from raynas.errors import ModelError
from raynas.space import Architecture

if TYPE_CHECKING:
    from raynas.nn.mutable import ChoiceMutable

Guard = tuple[str, "ChoiceMutable", tuple[int, ...]]  # path of a child; it is there when the choice picks one of the indices


class Varying(nn.Module):
    """A module that no frozen model holds."""

    def to_plain(self, choices: Choices) -> nn.Module:
        """What becomes of this module."""
        raise ModelError(f"a {type(self).__name__} cannot be frozen: it does not say what becomes of it; define to_plain")

    def guards(self) -> Iterator[Guard]:
        """Which of the modules inside are there only when a choice picks certain indices."""
        return iter(())


class Choices:
    """What one architecture decides for the modules of one model.

    Args:
        architecture: of the model's space.
        keys: of the mutables, by ``id``.
        tensors: what becomes of parameters and buffers, by ``id``, where it is not a copy.
    """

    def __init__(self, architecture: Architecture, keys: Mapping[int, str], tensors: Mapping[int, Tensor]) -> None:
        self._architecture, self._keys = architecture, keys
        self._memo: dict[int, Any] = dict(tensors)
        self._given = tensors.keys()
        self._parts: dict[tuple[Any, ...], nn.Parameter] = {}
        self.decided: dict[int, Any] = {}

    def indices(self, mutable: ChoiceMutable) -> tuple[int, ...]:
        """What a mutable picks."""
        return self._architecture.indices[self._keys[id(mutable)]]

    def copy(self, module: nn.Module) -> Any:
        """A deep copy in which every varying module is what becomes of it.

        The memo of ``deepcopy`` holds what became of each; so what was not chosen is never touched, and a reference to a
        varying module from anywhere leads to what became of it.
        """
        for varying in _outermost(module):
            if id(varying) not in self._memo:
                self._memo[id(varying)] = varying.to_plain(self)
        return copy.deepcopy(module, self._memo)

    def replace(self, module: nn.Module, plain: nn.Module) -> None:
        """Say what becomes of a module, before anything is copied."""
        self._memo[id(module)] = plain

    def whole(self, tensor: Tensor) -> Tensor:
        """What the whole of a tensor becomes: the one given for it, else itself, not yet copied."""
        found = self._memo[id(tensor)] if id(tensor) in self._given else tensor
        return found.detach()

    def part(self, tensor: Tensor, cut: Tensor, layer: type[nn.Module]) -> Tensor:
        """What is kept of a parameter or buffer, of which ``cut`` is a part; parameters that were tied stay so.

        Where ``cut`` is no view, parts of one shape that one kind of ``layer`` takes from one tensor are the same part.
        """
        if id(tensor) not in self._given and cut.shape == tensor.shape:
            return copy.deepcopy(tensor, self._memo)
        kept = cut if id(tensor) in self._given else cut.clone()
        if not isinstance(tensor, nn.Parameter):
            return kept
        is_view = cut.untyped_storage().data_ptr() == self.whole(tensor).untyped_storage().data_ptr()
        where = (cut.storage_offset(), cut.stride()) if is_view else (layer,)
        place = (id(tensor), cut.shape, *where)
        trainable = tensor.requires_grad and id(tensor) not in self._given
        return self._parts.setdefault(place, nn.Parameter(kept.contiguous() if trainable else kept, requires_grad=trainable))


def check_forward(kind: type[nn.Module], decides: str, becomes: str) -> None:
    """Refuse a class whose ``forward`` is younger than what it becomes, which would compute something else.

    Args:
        kind: the class.
        decides: the attribute that says what it becomes.
        becomes: the name of that.

    Raises:
        ModelError: it has a ``forward`` of its own.
    """
    for parent in kind.__mro__:
        if decides in vars(parent):
            return
        if "forward" in vars(parent):
            raise ModelError(
                f"{kind.__name__} has a forward of its own, but would be frozen to {becomes}, which has not; "
                f"name in {decides} what it becomes, or put it into a module of your own and do the rest there"
            )


def _outermost(module: nn.Module) -> Iterator[Varying]:
    """The varying modules inside, without those inside these."""
    if isinstance(module, Varying):
        yield module
        return
    for child in module.children():
        yield from _outermost(child)
