"""The training loop against one written by hand, and when it tells whom what."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import TrainingError
from raynas.oneshot import Task, Trainer, TrainHooks, TrainOptions, World, score
from raynas.oneshot.batches import MapBatches

MakeTask = Callable[..., Task]


def plain_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def make_trainer(task: Task, epochs: int = 2, model: nn.Module | None = None, **hooks: Any) -> Trainer:
    options = TrainOptions(epochs=epochs, seed=5, log_every=2, checkpoint_every=2)
    return Trainer(model or plain_model(), task, options, world=World(), hooks=TrainHooks(**hooks))


def same_state(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_training_equals_a_loop_written_by_hand(task: Task) -> None:
    trainer = make_trainer(task)
    trainer.train()
    model = plain_model()
    assert not same_state(model, trainer.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)
    batches = MapBatches(task.data("train"), 16, seed=5, world=World())
    for epoch in range(2):
        for step in range(3):
            inputs, targets, _ = batches.step(epoch, step)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
            schedule.step()
    assert same_state(model, trainer.model)
    assert trainer.optimizer.param_groups[0]["lr"] == schedule.get_last_lr()[0] == pytest.approx(0, abs=1e-12)
    assert (trainer.epoch, trainer.step, trainer.bytes_sent) == (2, 0, 0)


def test_training_makes_the_loss_smaller(task: Task) -> None:
    trainer = make_trainer(task, epochs=30)
    before = trainer.validate()
    trainer.train()
    after = trainer.validate()
    assert after["loss"] < before["loss"] * 0.75
    assert after["accuracy"] > before["accuracy"]
    assert after == score(trainer.model, task, task.data("valid"), device=torch.device("cpu"))


def test_without_a_schedule_the_rate_stays(make_task: MakeTask) -> None:
    trainer = make_trainer(make_task(schedule=None))
    trainer.train()
    assert trainer.optimizer.param_groups[0]["lr"] == 0.01
    assert trainer.state_dict()["schedule"] is None


def test_figures_are_logged_every_so_many_steps_and_at_the_end(make_task: MakeTask) -> None:
    logged = []
    trainer = make_trainer(make_task(batch_size=17), epochs=3, log=lambda *figures: logged.append(figures))  # 2 steps an epoch
    trainer.options = TrainOptions(epochs=3, log_every=4)
    trainer.train()
    assert [(done, total) for done, total, _ in logged] == [(4, 6), (6, 6)]
    for done, _, figures in logged:
        assert figures.keys() == {"loss", "learning_rate"}
        assert figures["learning_rate"] == pytest.approx(0.005 * (1 + math.cos(math.pi * done / 6)))


def test_checkpoints_are_due_between_epochs_and_not_at_the_end(task: Task) -> None:
    seen: list[tuple[int, int]] = []
    make_trainer(task, epochs=6, on_checkpoint=lambda trainer: seen.append((trainer.epoch, trainer.step))).train()
    assert seen == [(2, 0), (4, 0)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_training_and_is_placed(make_task: MakeTask, value: float) -> None:
    calls = []

    def loss(output: Tensor, target: Tensor) -> Tensor:
        calls.append(1)
        return nn.functional.cross_entropy(output, target) * (value if len(calls) == 5 else 1)

    trainer = make_trainer(make_task(loss=loss))
    trainer.options = TrainOptions(epochs=2, log_every=1)
    with pytest.raises(TrainingError, match=rf"the loss is {value} at epoch 1, step 2$"):
        trainer.train()


def test_a_nan_between_two_logs_is_found_at_the_next(make_task: MakeTask) -> None:
    calls = []

    def loss(output: Tensor, target: Tensor) -> Tensor:
        calls.append(1)
        return nn.functional.cross_entropy(output, target) * (math.nan if len(calls) == 1 else 1)

    with pytest.raises(TrainingError, match="the loss is nan at epoch 0, step 2"):
        make_trainer(make_task(loss=loss)).train()


def test_parameters_that_took_no_part_are_left_alone(make_task: MakeTask) -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    model = Half()
    before = model.unused.weight.detach().clone()
    decaying = make_task(optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.5))
    trainer = make_trainer(decaying, model=model)
    trainer.train()
    assert torch.equal(model.unused.weight, before)
    assert set(trainer.optimizer.state) == set(model.used.parameters())


def test_a_loop_goes_on_within_an_epoch(task: Task) -> None:
    whole, stopped = make_trainer(task), make_trainer(task)
    whole.train()
    stopped.model.train()
    stopped.train_step(*stopped.batches.step(0, 0))
    stopped.step = 1
    again = make_trainer(task)
    again.load_state_dict(stopped.state_dict())
    again.train()
    assert same_state(again.model, whole.model)


def test_averaging_alone_changes_nothing(task: Task) -> None:
    trainer = make_trainer(task)
    trainer.train()
    before = {name: buffer.clone() for name, buffer in trainer.model.named_buffers()}
    trainer.average_buffers()
    assert all(torch.equal(buffer, before[name]) for name, buffer in trainer.model.named_buffers())
