"""``BaseMutator``: bound to one model for good, called back by its mutables. What to decide is left open."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from raynas.errors import MutatorError
from raynas.nn import ChoiceMutable, InputChoice, LayerChoice, MutableScope, ValueChoice, find_mutables, generate_search_space

Forwarded = tuple[Any, Tensor | None]


class BaseMutator(nn.Module):
    """Decides for the mutables of one model.

    It is itself a module, so that it may have parameters (those of the architecture, never the model's).

    Args:
        model: a model with mutables and without a mutator.

    Attributes:
        space: the model's search space.

    Raises:
        MutatorError: the model has a mutator already.
        ModelError: the model has no mutables, or they are wrong.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.space = generate_search_space(model)
        places = find_mutables(model)
        if any(place.mutable.__dict__["_bound"] is not None for place in places):
            raise MutatorError("the model has a mutator already; create the model again to bind another one")
        self.__dict__["_mutables"] = {}  # not submodules: their parameters are the model's
        for place in places:
            place.mutable.bind(self, place.key)
            if isinstance(place.mutable, ChoiceMutable):
                self.__dict__["_mutables"].setdefault(place.key, place.mutable)

    @property
    def mutables(self) -> list[ChoiceMutable]:
        """The mutables that make a choice, one for each key."""
        return list(self.__dict__["_mutables"].values())

    def on_forward_layer_choice(self, mutable: LayerChoice, *args: Any, **kwargs: Any) -> Forwarded:
        """Called by a layer choice's ``forward`` with its arguments.

        Returns:
            The output, and a BoolTensor of shape (number of candidates,) that tells what was chosen.
        """
        raise MutatorError(f"{type(self).__name__} does not decide for layer choices; define on_forward_layer_choice")

    def on_forward_input_choice(self, mutable: InputChoice, inputs: list[Any]) -> Forwarded:
        """Called by an input choice's ``forward`` with its inputs in order; returns the output and the mask."""
        raise MutatorError(f"{type(self).__name__} does not decide for input choices; define on_forward_input_choice")

    def on_forward_value_choice(self, mutable: ValueChoice) -> int:
        """Called where the current value of a value choice is asked for; returns the index of a candidate."""
        raise MutatorError(f"{type(self).__name__} does not decide for value choices; define on_forward_value_choice")

    def enter_mutable_scope(self, scope: MutableScope) -> None:
        """Called before a scope's ``forward``."""

    def exit_mutable_scope(self, scope: MutableScope) -> None:
        """Called after a scope's ``forward``, also when it raises."""
