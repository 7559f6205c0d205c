"""``InputChoice``: some of several inputs at a place of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from raynas.errors import ModelError
from raynas.nn.frozen import SelectInputs
from raynas.nn.mutable import ReducingChoice
from raynas.nn.reduction import Reduction
from raynas.nn.varying import Choices, check_forward
from raynas.space import INPUT_CHOICE


class InputChoice(ReducingChoice):
    """Picks ``n_chosen`` of several inputs and reduces them to one.

    Args:
        n_candidates: how many inputs there are; may be left out where ``choose_from`` is given.
        choose_from: a name for each input, usually the key of the mutable that makes it; ``NO_KEY`` for one without.
        n_chosen: how many are picked; ``None``: any number, none included (``forward`` then gives ``None``).
        reduction: what becomes of the inputs picked, see ``ReducingChoice``.
        return_mask: whether ``forward`` returns ``(output, mask)``.
        key: given by hand, input choices with one key share one choice; ``None``: the path in the model.

    Raises:
        ModelError: the numbers do not fit each other.

    Example:
        >>> import torch
        >>> from raynas.mutators import RandomMutator
        >>> skip = InputChoice(n_candidates=3, n_chosen=1, key="skip")
        >>> RandomMutator(skip, seed=0).reset()
        >>> skip([torch.ones(2), torch.zeros(2), torch.ones(2)]).shape
        torch.Size([2])
    """

    NO_KEY = ""

    def __init__(
        self,
        n_candidates: int | None = None,
        choose_from: Sequence[str] | None = None,
        n_chosen: int | None = None,
        reduction: Reduction = "sum",
        return_mask: bool = False,
        key: str | None = None,
    ) -> None:
        super().__init__(reduction, return_mask=return_mask, key=key)
        if choose_from is None and n_candidates is None:
            raise ModelError(f"InputChoice {key or ''}: give n_candidates or choose_from")
        if choose_from is not None and (not isinstance(choose_from, Sequence) or isinstance(choose_from, str)):
            raise ModelError(f"InputChoice {key or ''}: choose_from is {choose_from!r}; expected a list of names")
        if not all(number is None or type(number) is int for number in (n_candidates, n_chosen)):
            raise ModelError(f"InputChoice {key or ''}: {n_candidates!r} candidates, n_chosen {n_chosen!r}; expected integers")
        count = n_candidates if n_candidates is not None else len(choose_from or ())
        if count < 1 or (choose_from is not None and len(choose_from) != count):
            raise ModelError(f"InputChoice {key or ''}: {n_candidates} candidates, but choose_from is {choose_from!r}")
        if n_chosen is not None and not 0 <= n_chosen <= count:
            raise ModelError(f"InputChoice {key or ''}: n_chosen is {n_chosen}; expected None or 0 to {count}")
        self.n_candidates, self.n_chosen = count, n_chosen
        sources = choose_from if choose_from is not None else [self.NO_KEY] * count
        self.choose_from: tuple[str, ...] = tuple(sources)
        self.names: tuple[str, ...] = tuple(source or str(index) for index, source in enumerate(sources))

    def to_domain(self) -> dict[str, Any]:
        return {"_type": INPUT_CHOICE, "_value": {"candidates": list(self.names), "n_chosen": self.n_chosen}}

    def order_inputs(self, inputs: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
        """The inputs in the order of the candidates; a mapping is read by ``names``.

        Raises:
            ModelError: there are too few, too many, or one is missing.
        """
        if isinstance(inputs, Mapping):
            missing = [name for name in self.names if name not in inputs]
            if missing:
                raise ModelError(f"InputChoice {self.key!r}: input {missing[0]!r} is missing; found {', '.join(inputs)}")
            return [inputs[name] for name in self.names]
        if len(inputs) != self.n_candidates:
            raise ModelError(f"InputChoice {self.key!r}: found {len(inputs)} inputs; expected {self.n_candidates}")
        return list(inputs)

    def to_plain(self, choices: Choices) -> nn.Module:
        check_forward(type(self), "to_plain", "SelectInputs")
        return SelectInputs(self.names, choices.indices(self), reduction=self.reduction, return_mask=self.return_mask)

    def forward(self, inputs: Sequence[Any] | Mapping[str, Any]) -> Any:
        output, mask = self.mutator.on_forward_input_choice(self, self.order_inputs(inputs))
        return (output, None if mask is None else mask.clone()) if self.return_mask else output
