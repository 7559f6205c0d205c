"""``ValueChoice``: one of several numbers or names that a layer is built with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raynas.errors import ModelError
from raynas.nn.mutable import ChoiceMutable
from raynas.nn.value import Chosen
from raynas.space import CHOICE


class ValueChoice(ChoiceMutable, Chosen):
    """Picks one of several numbers or strings.

    Give it to a layer of ``raynas.nn``, whose weights are made for the largest value and sliced; or keep it as an attribute
    of a module and call it in ``forward``. The same object in several places makes one choice.

    Args:
        candidates: finite numbers or strings, all different.
        key: given by hand, value choices with one key share one choice; ``None``: the path in the model, which for an argument
            of a layer is ``<layer>.<argument>``.

    Raises:
        ModelError: there are no candidates, two are equal, or one is neither a number nor a string.

    Example:
        >>> import torch
        >>> from raynas.mutators import RandomMutator
        >>> from raynas.nn import Linear
        >>> layer = Linear(8, ValueChoice([16, 32], key="width"))
        >>> RandomMutator(layer, seed=0).apply_architecture({"width": {"_value": 16}})
        >>> layer(torch.zeros(1, 8)).shape
        torch.Size([1, 16])
    """

    def __init__(self, candidates: Sequence[Any], key: str | None = None) -> None:
        super().__init__(key)
        listed = list(candidates) if isinstance(candidates, Sequence) and not isinstance(candidates, str) else []
        if not listed or not all(isinstance(entry, int | float | str) for entry in listed) or len(set(listed)) < len(listed):
            raise ModelError(
                f"ValueChoice {key or ''}: found {candidates!r}; expected different numbers or strings, at least one"
            )
        self.candidates: tuple[Any, ...] = tuple(listed)

    @property
    def length(self) -> int:
        """How many candidates there are."""
        return len(self.candidates)

    def __len__(self) -> int:
        return len(self.candidates)

    def __bool__(self) -> bool:
        return True

    def possible(self) -> tuple[Any, ...]:
        return self.candidates

    def to_domain(self) -> dict[str, Any]:
        return {"_type": CHOICE, "_value": list(self.candidates)}

    def forward(self) -> Any:
        return self.candidates[self.mutator.on_forward_value_choice(self)]

    def __repr__(self) -> str:
        return f"ValueChoice({list(self.candidates)}{'' if self.given_key is None else f', key={self.given_key!r}'})"
