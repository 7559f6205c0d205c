"""``Mutable``: what all mutables share (a key, and the mutator that decides)."""

from __future__ import annotations

from typing import Any

from torch import nn

from raynas.errors import ModelError, MutatorError
from raynas.nn.reduction import REDUCTIONS, Reduction
from raynas.nn.varying import Varying


class Mutable(nn.Module):
    """A module with a key. Its choice is made by the mutator that is bound to the model.

    Args:
        key: given by hand, mutables with one key share one choice; ``None``: the path from the model handed in.
    """

    def __init__(self, key: str | None = None) -> None:
        super().__init__()
        self.given_key = key
        self.__dict__["_bound"] = None  # (mutator, key); not a submodule, and not copied

    @property
    def key(self) -> str | None:
        """The key given by hand, else the one found when a mutator was bound, else ``None``."""
        bound = self.__dict__["_bound"]
        return bound[1] if bound is not None else self.given_key

    @property
    def mutator(self) -> Any:
        """The mutator that decides.

        Raises:
            MutatorError: there is none.
        """
        bound = self.__dict__["_bound"]
        if bound is None:
            raise MutatorError(
                f"{type(self).__name__} {self.given_key or ''} has no mutator and cannot decide; bind one to the model, "
                "RandomMutator(model) for example, or take a plain model from raynas.freeze(model, architecture); if the model "
                "has one, this is none of its submodules: make it an attribute of its own, or put it in an nn.ModuleList"
            )
        return bound[0]

    def bind(self, mutator: Any, key: str) -> None:
        """Bind for good. Called by the mutator.

        Raises:
            MutatorError: another mutator is bound already.
        """
        if self.__dict__["_bound"] is not None:
            raise MutatorError(f"key {key!r}: the model has a mutator already; create the model again for another one")
        self.__dict__["_bound"] = (mutator, key)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_bound": None}  # a copy is unbound


class ChoiceMutable(Mutable, Varying):
    """A mutable that makes a choice: it is a key of the search space."""

    def to_domain(self) -> dict[str, Any]:
        """This mutable's entry of the search space document, without conditions."""
        raise TypeError(f"{type(self).__name__} does not say what it can choose; define to_domain")


class ReducingChoice(ChoiceMutable):
    """A choice between outputs, of which several may be chosen.

    Args:
        reduction: what becomes of several outputs: ``"sum"``, ``"mean"``, ``"concat"`` along dimension 1, or ``"none"``
            for a list of them.
        return_mask: whether ``forward`` returns ``(output, mask)``, the mask a BoolTensor over the candidates.
        key: see ``Mutable``.
    """

    def __init__(self, reduction: Reduction = "sum", *, return_mask: bool = False, key: str | None = None) -> None:
        super().__init__(key)
        if reduction not in REDUCTIONS:
            raise ModelError(f"reduction {reduction!r} does not exist; expected one of {', '.join(REDUCTIONS)}")
        self.reduction: Reduction = reduction
        self.return_mask = return_mask
