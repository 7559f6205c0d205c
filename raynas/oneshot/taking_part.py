"""``TakingPart``: which candidates have learnt since it was last asked, so that only these are published again."""

from __future__ import annotations

from torch import Tensor, nn

from raynas.nn import Owner, state_owners
from raynas.oneshot.options import Callback
from raynas.oneshot.trainer import Trainer


class TakingPart(Callback):
    """Looks after each step which parameters have a gradient; on one worker that is the same as on all.

    The running statistics of a candidate without parameters are not noticed.
    """

    def __init__(self) -> None:
        self._waiting: dict[Owner, list[nn.Parameter]] | None = None  # those that have not learnt yet
        self._learnt: dict[str, set[int]] = {}

    def on_step_end(self, trainer: Trainer, loss: Tensor) -> None:
        if trainer.options.publish_every is None or self._waiting is None:
            return
        learnt = [owner for owner, members in self._waiting.items() if any(each.grad is not None for each in members)]
        for owner in learnt:
            del self._waiting[owner]
            for key, indices in owner:
                self._learnt.setdefault(key, set()).update(indices)

    def take(self, trainer: Trainer) -> dict[str, set[int]] | None:
        """For each key the candidates that have learnt since the last call.

        ``None`` is for all of them: the first time, since the newest version may be of steps that are done again; and where
        averaged weights are published, which change without gradients.
        """
        is_known = self._waiting is not None and trainer.ema is None
        learnt, self._learnt, self._waiting = self._learnt, {}, {}
        owners = state_owners(trainer.model)
        for name, parameter in trainer.model.named_parameters():
            if owners.get(name):
                self._waiting.setdefault(owners[name], []).append(parameter)
        return learnt if is_known else None
