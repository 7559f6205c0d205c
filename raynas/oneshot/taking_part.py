"""``TakingPart``: which candidates have learnt since it was last asked, so that only these are published again."""

from __future__ import annotations

from torch import nn

from raynas.nn import state_owners


class TakingPart:
    """Knows which tensors of a model were written to, by the counts that torch keeps of that.

    Not by gradients: running statistics change without, where a candidate is computed and then not used. What is written
    through ``Tensor.data`` is not noticed.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def take(self, model: nn.Module) -> dict[str, set[int]] | None:
        """For each key the candidates that have changed since the last call.

        ``None`` is for all of them: the first time, since the newest version may be of steps that are done again.
        """
        before = self._counts
        self._counts = {name: tensor._version for name, tensor in model.state_dict(keep_vars=True).items()}
        if not before:
            return None
        learnt: dict[str, set[int]] = {}
        for name, owner in state_owners(model).items():
            if self._counts[name] != before.get(name):
                for key, indices in owner:
                    learnt.setdefault(key, set()).update(indices)
        return learnt
