"""The training loop against one written by hand, and when it tells whom what."""

import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import CheckpointError, TaskError, TrainingError
from raynas.oneshot import Callback, Task, Trainer, TrainHooks, TrainOptions, World, score
from raynas.oneshot.batches import MapBatches

MakeTask = Callable[..., Task]


def plain_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def make_trainer(task: Task, epochs: int = 2, model: nn.Module | None = None, **hooks: Any) -> Trainer:
    given = {name: hooks.pop(name) for name in list(hooks) if name in TrainOptions.__dataclass_fields__}
    options = TrainOptions(**{"epochs": epochs, "seed": 5, "log_every": 2, "decay_all": True, **given})
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
            batch = batches.step(epoch, step)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch.inputs), batch.targets).backward()
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


def test_checkpoints_are_due_every_so_many_steps_and_not_at_the_end(task: Task) -> None:
    seen: list[tuple[int, int]] = []
    told: list[Path] = []

    class Told(Callback):
        def on_checkpoint(self, trainer: Trainer, folder: Path) -> None:
            told.append(folder)

    def save(trainer: Trainer) -> Path:
        seen.append((trainer.epoch, trainer.step))
        return Path(f"checkpoint-{trainer.steps_done}")

    make_trainer(task, epochs=4, checkpoint_every=4, save=save, callbacks=(Told(),)).train()
    assert seen == [(1, 1), (2, 2)]
    assert told == [Path("checkpoint-4"), Path("checkpoint-8")]


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

    with pytest.raises(TrainingError, match="the loss is nan at epoch 0, step 1"):
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
    stopped.train_step(stopped.batches.step(0, 0))
    stopped.step = 1
    again = make_trainer(task)
    again.load_state_dict(stopped.state_dict())
    again.train()
    assert same_state(again.model, whole.model)


def test_averaging_alone_changes_nothing(task: Task) -> None:
    trainer = make_trainer(task)
    trainer.train()
    before = {name: buffer.clone() for name, buffer in trainer.model.named_buffers()}
    with trainer.weights_to_use():
        assert all(torch.equal(buffer, before[name]) for name, buffer in trainer.model.named_buffers())


def test_a_batch_in_pieces_makes_the_step_of_the_whole(make_task: MakeTask) -> None:
    def double_model() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()

    task = make_task(
        train_data=[(torch.linspace(-1, 1, 4, dtype=torch.float64) * number, number % 3) for number in range(1, 33)],
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    )
    states = []
    for accumulate in (1, 3, 16, 99):
        trainer = make_trainer(task, model=double_model(), accumulate=accumulate)
        trainer.train()
        states.append(trainer.model.state_dict())
    for other in states[1:]:
        for name, tensor in states[0].items():
            torch.testing.assert_close(other[name], tensor, rtol=0, atol=1e-12)


def test_gradients_are_clipped_to_a_norm(make_task: MakeTask) -> None:
    task = make_task(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0), schedule=None)
    trainer = make_trainer(task, clip_norm=0.01)
    before = [parameter.detach().clone() for parameter in trainer.parameters]
    trainer.train_step(trainer.batches.step(0, 0))
    moved = [(parameter.detach() - old).pow(2).sum() for parameter, old in zip(trainer.parameters, before, strict=True)]
    assert float(sum(moved)) ** 0.5 == pytest.approx(0.01, rel=1e-4)


def test_norms_and_biases_are_spared_from_decay(make_task: MakeTask) -> None:
    task = make_task(optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.5))
    trainer = make_trainer(task, decay_all=False)
    decays = {id(p): group["weight_decay"] for group in trainer.optimizer.param_groups for p in group["params"]}
    assert {name: decays[id(p)] for name, p in trainer.model.named_parameters()} == {
        name: 0.5 if p.ndim > 1 else 0.0 for name, p in trainer.model.named_parameters()
    }
    assert len(trainer.schedule.base_lrs) == len(trainer.optimizer.param_groups) == 2


def test_averaged_weights_are_validated_and_the_trained_ones_go_on(task: Task) -> None:
    plain, averaged = make_trainer(task, epochs=4), make_trainer(task, epochs=4, ema=0.9, validate_every=1)
    plain.train()
    averaged.train()
    assert same_state(plain.model, averaged.model)
    expected = score(averaged.model, task, task.data("valid"), device=torch.device("cpu"))
    assert averaged.figures != expected
    with averaged.weights_to_use():
        assert not same_state(plain.model, averaged.model)
        assert averaged.figures == score(averaged.model, task, task.data("valid"), device=torch.device("cpu"))


def test_half_precision_computes_in_it_and_trains_nearly_alike(task: Task) -> None:
    losses = {}
    for precision in ("float32", "bf16"):
        trainer = make_trainer(task, epochs=20, precision=precision)
        seen = []
        trainer.model[0].register_forward_hook(lambda _module, _inputs, output, seen=seen: seen.append(output.dtype))
        trainer.train()
        assert set(seen) == {torch.bfloat16 if precision == "bf16" else torch.float32}
        assert all(parameter.dtype == torch.float32 for parameter in trainer.model.parameters())
        losses[precision] = trainer.validate()["loss"]
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.1)


def test_training_ends_when_validation_no_longer_gets_better(make_task: MakeTask) -> None:
    task = make_task(metrics={"constant": lambda output, target: 0.5})
    trainer = make_trainer(task, epochs=50, validate_every=2, patience=3)
    trainer.train()
    assert (trainer.epoch, trainer.step) == (8, 0)  # the first is the best, then three without a better one


def test_callbacks_come_in_their_order_and_one_may_stop(task: Task) -> None:
    calls: list[Any] = []

    class Noting(Callback):
        def on_epoch_begin(self, trainer: Trainer) -> None:
            calls.append(("begin", trainer.epoch))

        def on_step_end(self, trainer: Trainer, loss: Tensor) -> None:
            assert loss.shape == ()
            calls.append(trainer.steps_done)

        def on_epoch_end(self, trainer: Trainer) -> None:
            calls.append(("end", trainer.epoch))
            if trainer.epoch == 2:
                trainer.stop()

    make_trainer(task, epochs=5, callbacks=(Noting(),)).train()
    assert calls == [("begin", 0), 1, 2, 3, ("end", 1), ("begin", 1), 4, 5, 6, ("end", 2)]


def test_versions_are_published_on_the_way(task: Task) -> None:
    published = []
    trainer = make_trainer(task, epochs=3, publish_every=4, publish=lambda trainer: published.append(trainer.steps_done))
    trainer.train()
    assert published == [4, 8]


def test_a_layout_for_convolutions_does_not_change_what_is_learnt(make_task: MakeTask) -> None:
    def convolutions() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

    generator = torch.Generator().manual_seed(0)
    images = torch.randn(48, 3, 6, 6, generator=generator)
    task = make_task(train_data=torch.utils.data.TensorDataset(images, torch.arange(48) % 3))
    one, other = (make_trainer(task, model=convolutions(), channels_last=flag) for flag in (False, True))
    assert other.model[0].weight.is_contiguous(memory_format=torch.channels_last)
    for trainer in (one, other):
        trainer.train()
    for name, tensor in one.model.state_dict().items():
        torch.testing.assert_close(other.model.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("changed", [{"seed": 6}, {"precision": "bf16"}, {"ema": 0.9}])
def test_a_checkpoint_of_another_training_is_refused(task: Task, changed: dict[str, Any]) -> None:
    trainer, other = make_trainer(task), make_trainer(task, **changed)
    (name,) = changed
    with pytest.raises(CheckpointError, match=f"another training: {name} was .*, is {changed[name]} now"):
        other.load_state_dict(trainer.state_dict())


def test_a_checkpoint_of_another_model_is_refused(task: Task) -> None:
    small = nn.Sequential(nn.Linear(4, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 3))
    with pytest.raises(CheckpointError, match=r"tensors '0\.bias' was \[\[8\], 'torch\.float32'\], is \[\[9\]"):
        make_trainer(task, model=small).load_state_dict(make_trainer(task).state_dict())


class Endless:
    """Data that can only be iterated."""

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        generator = torch.Generator().manual_seed(0)
        for number in range(1_000):
            yield torch.randn(4, generator=generator), number % 3


def test_data_that_can_only_be_iterated_goes_on_in_mid_stream(make_task: MakeTask) -> None:
    task = make_task(train_data=Endless)  # a class is called to load it
    with pytest.raises(TaskError, match="is a Endless, whose length is not known; give steps_per_epoch"):
        make_trainer(task)
    whole = make_trainer(task, steps_per_epoch=5)
    kept: list[Any] = []

    class Keep(Callback):
        def on_step_end(self, trainer: Trainer, loss: Tensor) -> None:
            if trainer.steps_done == 7:
                kept.append(copy.deepcopy((trainer.state_dict(), trainer.worker_state_dict())))

    whole.hooks = TrainHooks(callbacks=(Keep(),))
    whole.train()
    again = make_trainer(task, steps_per_epoch=5)
    again.load_state_dict(kept[0][0])
    again.load_worker_state_dict(kept[0][1])
    again.train()
    assert same_state(again.model, whole.model)
    assert whole.num_steps == 10
