"""``LossWatch``: the losses since the last log, looked at together, so that no step waits for the device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from raynas.errors import TrainingError
from raynas.oneshot.workers.world import World


class LossWatch:
    """Finds the first loss that is no finite number, and gives mean losses.

    Args:
        world: the workers; each calls ``look`` at the same steps.

    Attributes:
        checkpoint: where the last checkpoint is, for the error; ``""`` if there is none.
    """

    checkpoint = ""

    def __init__(self, world: World) -> None:
        self._world = world
        self._losses: list[Tensor] = []
        self._places: list[tuple[int, int, Callable[[], str]]] = []

    def add(self, loss: Tensor, share: float, epoch: int, step: int, describe: Callable[[], str]) -> None:
        """Remember a step.

        Args:
            loss: this worker's mean loss, a scalar.
            share: this worker's part of all samples of the step.
            epoch, step: which one.
            describe: what an error about it should add; asked only then.
        """
        self._losses.append(loss.detach().float() * share)
        self._places.append((epoch, step, describe))

    def look(self) -> float | None:
        """The last step's mean loss over all workers; ``None`` if there was no step since the last look.

        Raises:
            TrainingError: a loss is not finite; the message has the first step of which that is so, on all workers alike.
        """
        if not self._losses:
            return None
        losses = torch.stack(self._losses)
        self._world.sum([losses])
        values, places = losses.tolist(), self._places
        self._losses, self._places = [], []
        for value, (epoch, step, describe) in zip(values, places, strict=True):
            if value != value or value in (float("inf"), -float("inf")):
                kept = f"; the last checkpoint is {self.checkpoint}" if self.checkpoint else ""
                raise TrainingError(f"the loss is {value} at epoch {epoch}, step {step}{describe()}{kept}")
        last: float = values[-1]
        return last
