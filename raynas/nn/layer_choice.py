"""``LayerChoice``: one of several operators at a place of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from raynas.errors import ModelError
from raynas.nn.mutable import ChoiceMutable
from raynas.nn.reduction import Reduction
from raynas.space import LAYER_CHOICE


class LayerChoice(ChoiceMutable):
    """Picks one of several modules.

    In ``state_dict`` the parameters of candidate ``i`` are under ``candidates.<i>``.

    Args:
        op_candidates: modules; a list names them "0", "1", ..., a mapping by its keys.
        reduction: what becomes of the outputs where a mutator mixes several, see ``ChoiceMutable``.
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
        modules: list[nn.Module] = list(op_candidates) if named is None else list(named.values())  # type: ignore[arg-type]
        if not modules or not all(isinstance(module, nn.Module) for module in modules):
            raise ModelError(f"LayerChoice {key or ''}: found {op_candidates!r}; expected at least one module, and only those")
        self.candidates = nn.ModuleList(modules)
        self.names: tuple[str, ...] = tuple(named) if named is not None else tuple(map(str, range(len(modules))))

    @property
    def length(self) -> int:
        """How many candidates there are."""
        return len(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def to_domain(self) -> dict[str, Any]:
        return {"_type": LAYER_CHOICE, "_value": list(self.names)}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output, mask = self.mutator.on_forward_layer_choice(self, *args, **kwargs)
        return (output, mask) if self.return_mask else output
