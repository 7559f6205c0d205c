"""``MutableScope``: a group of mutables, a cell for example. It makes no choice."""

from __future__ import annotations

from typing import Any

from raynas.nn.mutable import Mutable


class MutableScope(Mutable):
    """A module whose mutables belong together. A mutator is told when ``forward`` enters and leaves it.

    Inherit from it as from ``nn.Module``. A scope may wait for no mutator: without one it is an ordinary module.

    Args:
        key: given by hand; ``None``: the path in the model.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound = self.__dict__["_bound"]
        if bound is None:
            return super().__call__(*args, **kwargs)
        bound[0].enter_mutable_scope(self)
        try:
            return super().__call__(*args, **kwargs)
        finally:
            bound[0].exit_mutable_scope(self)
