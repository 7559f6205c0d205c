"""``LossWatch``: the first loss that is no number is named, with its step, and looked for late."""

import math

import pytest
import torch

from raynas.errors import TrainingError
from raynas.oneshot import World
from raynas.oneshot.loss_watch import LossWatch


def test_the_last_loss_is_given_weighted_by_the_share() -> None:
    watch = LossWatch(World())
    for step, loss in enumerate((1.0, 2.0, 8.0)):
        watch.add(torch.tensor(loss), 0.25, 0, step, str)
    assert watch.look() == 2
    assert watch.look() is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_first_bad_step_is_named_and_the_last_checkpoint(value: float) -> None:
    asked = []

    def describe(step: int) -> str:
        asked.append(step)
        return f", on path {step}"

    watch = LossWatch(World())
    for step, loss in enumerate((1.0, value, 2.0, math.nan)):
        watch.add(torch.tensor(loss), 1, 3, step, lambda step=step: describe(step))
    watch.checkpoint = "there"
    with pytest.raises(
        TrainingError, match=rf"^the loss is {value} at epoch 3, step 1, on path 1; the last checkpoint is there$"
    ):
        watch.look()
    assert asked == [1]
