"""``LayerChoice``: one of several operators at a place of the model."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from torch import nn

from raynas.errors import ModelError, MutatorError
from raynas.nn.frozen import SelectedLayer
from raynas.nn.mutable import Mutable, ReducingChoice
from raynas.nn.reduction import Reduction
from raynas.nn.varying import Choices, Guard, check_forward
from raynas.space import LAYER_CHOICE


class LayerChoice(ReducingChoice):
    """Picks one of several modules.

    In ``state_dict`` the parameters of candidate ``i`` are under ``candidates.<i>``.

    It is also a container: ``len``, iteration over the modules, ``in`` (a name or a module), and ``choice[at]``, where
    ``at`` is an index or a name; a slice, whose ends may be names too (the end excluded), gives a list. Candidates can be
    replaced, and deleted before a mutator is bound.

    Args:
        op_candidates: modules; a list names them "0", "1", ..., a mapping by its keys.
        reduction: what becomes of the outputs where a mutator mixes several, see ``ReducingChoice``.
        return_mask: whether ``forward`` returns ``(output, mask)``.
        key: given by hand, layer choices with one key share one choice; ``None``: the path in the model.

    Raises:
        ModelError: there are no candidates, or one is no module.

    Example:
        >>> from torch import nn
        >>> choice = LayerChoice({"conv": nn.Conv2d(8, 8, 3, padding=1), "skip": nn.Identity()}, key="op")
        >>> choice.names
        ('conv', 'skip')
    """

    def __init__(
        self,
        op_candidates: Sequence[nn.Module] | Mapping[str, nn.Module],
        reduction: Reduction = "sum",
        return_mask: bool = False,
        key: str | None = None,
    ) -> None:
        super().__init__(reduction, return_mask=return_mask, key=key)
        named = dict(op_candidates) if isinstance(op_candidates, Mapping | nn.ModuleDict) else None
        listed: Any = op_candidates if named is None else named.values()
        modules: list[Any] = list(listed) if isinstance(listed, Iterable) else []
        if not modules or not all(isinstance(module, nn.Module) for module in modules):
            raise ModelError(f"LayerChoice {key or ''}: found {op_candidates!r}; expected at least one module, and only those")
        self.candidates = nn.ModuleList(modules)
        self._numbered = named is None
        self.names: tuple[str, ...] = tuple(named) if named is not None else tuple(map(str, range(len(modules))))

    @property
    def length(self) -> int:
        """How many candidates there are."""
        return len(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.candidates)

    def __contains__(self, wanted: object) -> bool:
        return wanted in self.names if isinstance(wanted, str) else any(candidate is wanted for candidate in self.candidates)

    @overload
    def __getitem__(self, at: int | str) -> nn.Module: ...

    @overload
    def __getitem__(self, at: slice) -> list[nn.Module]: ...

    def __getitem__(self, at: int | str | slice) -> nn.Module | list[nn.Module]:
        if isinstance(at, slice):
            return [self.candidates[index] for index in self._span(at)]
        return self.candidates[self._position(at)]

    def __setitem__(self, at: int | str, module: nn.Module) -> None:
        """Replace a candidate; its name stays.

        Raises:
            ModelError: there is no such candidate, or ``module`` is no module.
            MutatorError: a mutator is bound, and the old or the new one holds mutables, so that the space would change.
        """
        index = self._position(at)
        if not isinstance(module, nn.Module):
            raise ModelError(f"{self._title()}: found {module!r} to replace {self.names[index]!r}; expected a module")
        parts = [*self.candidates[index].modules(), *module.modules()]
        if any(isinstance(part, Mutable) for part in parts):
            self._check_unbound(f"replace {self.names[index]!r}, which changes the mutables inside it,")
        self.candidates[index] = module

    def __delitem__(self, at: int | str | slice) -> None:
        """Delete candidates; names that were only indices are counted anew, and so are the names in ``state_dict``.

        Raises:
            ModelError: there is no such candidate, or none would be left.
            MutatorError: a mutator is bound, whose search space holds the candidate.
        """
        gone = set(self._span(at) if isinstance(at, slice) else [self._position(at)])
        if not gone:
            return
        names = [name for index, name in enumerate(self.names) if index not in gone]
        if not names:
            raise ModelError(f"{self._title()}: none of {', '.join(self.names)} would be left; expected at least one candidate")
        self._check_unbound(f"delete {', '.join(self.names[index] for index in sorted(gone))}")
        for index in sorted(gone, reverse=True):
            del self.candidates[index]
        self.names = tuple(map(str, range(len(names)))) if self._numbered else tuple(names)

    def to_domain(self) -> dict[str, Any]:
        return {"_type": LAYER_CHOICE, "_value": list(self.names)}

    def guards(self) -> Iterator[Guard]:
        for index in range(len(self.candidates)):
            yield f"candidates.{index}", self, (index,)

    def to_plain(self, choices: Choices) -> nn.Module:
        check_forward(type(self), "to_plain", "the candidate")
        (index,) = choices.indices(self)
        layer: nn.Module = choices.copy(self.candidates[index])
        if self.return_mask or self.reduction == "none":
            as_list = self.reduction == "none"
            return SelectedLayer(layer, index, len(self), as_list=as_list, return_mask=self.return_mask)
        return layer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        bound = self.__dict__["_bound"]
        output, mask = (bound[0] if bound else self.mutator).on_forward_layer_choice(self, *args, **kwargs)
        return (output, None if mask is None else mask.clone()) if self.return_mask else output

    def _position(self, at: Any) -> int:
        number = len(self.names)
        if isinstance(at, str) and at in self.names:
            return self.names.index(at)
        if hasattr(at, "__index__") and -number <= operator.index(at) < number:
            return operator.index(at) % number
        raise ModelError(
            f"{self._title()}: there is no candidate {at!r}; expected an index from {-number} to {number - 1}, "
            f"or one of {', '.join(self.names)}"
        )

    def _span(self, at: slice) -> range:
        start, stop = (self._position(end) if isinstance(end, str) else end for end in (at.start, at.stop))
        return range(len(self.names))[start : stop : at.step]

    def _title(self) -> str:
        return f"LayerChoice {self.key}" if self.key else "LayerChoice"

    def _check_unbound(self, change: str) -> None:
        if self.__dict__["_bound"] is not None:
            raise MutatorError(
                f"{self._title()}: a mutator is bound, whose search space was taken from the model as it is; "
                f"{change} before you make the mutator, or in a copy.deepcopy(model), which has none"
            )
