"""``ActiveParameters``: which of a supernet's parameters an architecture makes use of, by their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import nn

from raynas.nn import state_owners
from raynas.space import Architecture


class ActiveParameters:
    """Knows for every parameter the choices that it hangs on.

    Numbers are places in ``list(model.parameters())``. What the choices do not tell (frozen layers, an ``if`` in ``forward``)
    is not known here.

    Args:
        model: a model with mutables.
    """

    def __init__(self, model: nn.Module) -> None:
        owners = state_owners(model)
        groups: dict[tuple[tuple[str, frozenset[int]], ...], list[int]] = {}
        for number, (name, _) in enumerate(model.named_parameters()):
            owner = tuple((key, frozenset(indices)) for key, indices in owners.get(name, ()))
            groups.setdefault(owner, []).append(number)
        self._groups = list(groups.items())

    def of_decisions(self, chosen: Mapping[str, Iterable[int]]) -> Sequence[int]:
        """Numbers, ascending, of what takes part when for each key these candidates are computed."""
        numbers: list[int] = []
        for owner, members in self._groups:
            if all(key in chosen and not indices.isdisjoint(chosen[key]) for key, indices in owner):
                numbers += members
        return sorted(numbers)

    def of_architectures(self, architectures: Iterable[Architecture]) -> Sequence[int]:
        """Numbers, ascending, of what takes part in one of several architectures at least."""
        union: set[int] = set()
        for architecture in architectures:
            union.update(self.of_decisions(architecture.indices))
        return sorted(union)
