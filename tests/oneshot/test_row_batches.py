"""Batches of rows: the same samples however many workers share them, and an epoch that is begun from its beginning."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raynas.errors import TaskError
from raynas.oneshot import Callback, Task, Trainer, TrainHooks, TrainOptions, World, make_trainer
from raynas.oneshot.job import TrainingJob
from raynas.oneshot.row_batches import RowBatches
from raynas.oneshot.row_data import RowData
from tests.oneshot.rows import Rows

MakeTask = Callable[..., Task]
LENGTH = 23


def rows(length: int = LENGTH, **more: Any) -> Rows:
    inputs = np.arange(4 * length, dtype=np.float32).reshape(length, 4) / (4 * length)
    return Rows(input=inputs, target=np.arange(length) % 3, **more)


def numbered(**more: Any) -> Rows:
    return Rows(input=np.arange(LENGTH, dtype=np.float32)[:, None], target=np.arange(LENGTH), **more)


def batches(data: Rows, world: World | None = None, steps: int | None = None, batch_size: int = 5) -> RowBatches:
    return RowBatches(RowData(data), batch_size, world=world or World(), steps_per_epoch=steps)


def test_an_epoch_has_whole_batches_in_the_order_of_the_rows() -> None:
    data = numbered()
    made = batches(data)
    assert (made.steps_per_epoch, made.checkpoint_unit) == (4, 4)
    for epoch in range(2):
        found = [made.step(epoch, step) for step in range(4)]
        assert torch.cat([batch.targets for batch in found]).tolist() == list(range(20))
        assert all(torch.equal(batch.inputs.view(-1).long(), batch.targets) for batch in found)
        assert {(batch.size, batch.share) for batch in found} == {(5, 1.0)}
        assert data.num_open == 0, "what is left of the pass is not waited for"
    assert data.num_taken == 40
    assert data.num_counted == 1


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("shuffle", [False, True])
def test_workers_share_exactly_the_batch_of_one(size: int, shuffle: bool) -> None:
    alone = batches(numbered(shuffle=shuffle), steps=4)
    together = [batches(numbered(shuffle=shuffle), World(rank, size), steps=4) for rank in range(size)]
    for epoch, step in ((0, 0), (0, 1), (1, 0), (1, 1)):
        whole = alone.step(epoch, step)
        parts = [made.step(epoch, step) for made in together]
        assert [part.targets.tolist() for part in parts] == [whole.targets[rank::size].tolist() for rank in range(size)]
        assert sum(part.share for part in parts) == pytest.approx(1, abs=1e-12)
        assert len({str(made.shared_texts()) for made in together}) == 1


def test_workers_that_read_in_another_order_say_something_else() -> None:
    one, other = batches(numbered(), World(0, 2), steps=2), batches(numbered(shuffle=True), World(1, 2), steps=2)
    assert one.shared_texts() == other.shared_texts()
    for made in (one, other):
        made.step(0, 0)
    assert one.shared_texts() != other.shared_texts()


def test_where_it_begins_in_mid_epoch_it_reads_up_to_there() -> None:
    data = numbered(shuffle=True)
    whole, again = batches(data), batches(data)
    expected = [[whole.step(epoch, step).targets.tolist() for step in range(4)] for epoch in range(2)]
    again.load_state_dict(whole.state_dict())
    assert [again.step(1, step).targets.tolist() for step in (2, 3)] == expected[1][2:]


def test_a_part_of_each_pass_may_be_enough() -> None:
    data = numbered()
    made = batches(data, steps=2)
    assert [made.step(epoch, step).targets.tolist()[0] for epoch in range(2) for step in range(2)] == [0, 5, 0, 5]
    assert (data.num_taken, data.num_open, data.num_counted) == (20, 0, 0)


@pytest.mark.parametrize(
    ("world", "batch_size", "message"),
    [
        (World(), 24, "the data has 23 samples, fewer than one batch of 24"),
        (World(0, 3), 2, "a batch of 2 cannot be shared by 3 workers"),
    ],
)
def test_what_cannot_be_shared_is_refused(world: World, batch_size: int, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        batches(numbered(), world, steps=None if world.size == 1 else 2, batch_size=batch_size)


def test_data_that_ends_too_early_is_named() -> None:
    made = batches(numbered(), steps=5)
    for step in range(4):
        made.step(0, step)
    with pytest.raises(TaskError, match="has only 4 batches of 5, but steps_per_epoch is 5"):
        made.step(0, 4)


def test_training_is_the_same_as_on_the_same_samples_and_goes_on_at_the_end_of_an_epoch(make_task: MakeTask) -> None:
    data = rows(24, shuffle=True)  # 4 steps an epoch
    task = make_task(train_data=data, batch_size=6)
    kept: list[tuple[int, Any]] = []
    seen: list[list[int]] = []

    class Keep(Callback):
        def on_epoch_begin(self, trainer: Trainer) -> None:
            seen.append([])

        def on_step_end(self, trainer: Trainer, loss: torch.Tensor) -> None:
            seen[-1].append(trainer.steps_done)

    def save(trainer: Trainer) -> Path:
        kept.append((trainer.steps_done, copy.deepcopy((trainer.state_dict(), trainer.worker_state_dict()))))
        return Path()

    def train(start: Any = None, **changed: Any) -> nn.Module:
        job = TrainingJob(task, TrainOptions(epochs=4, checkpoint_every=3, **changed), method="spos")
        trainer = make_trainer(job, World(), TrainHooks(save=save, callbacks=(Keep(),)))
        if start is not None:
            trainer.load_state_dict(start[0])
            trainer.load_worker_state_dict(start[1])
        trainer.train()
        return trainer.model

    whole = train()
    assert [step for step, _ in kept] == [4, 8, 12]  # due at 3, 6, 9 and 12
    for state in [state for _, state in kept]:
        resumed = train(state)
        assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), resumed.parameters(), strict=True))
    order = [np.random.default_rng(epoch).permutation(24) for epoch in range(4)]
    samples = list(RowData(rows(24)))
    task = make_task(train_data=StreamOf([samples[i] for epoch in order for i in epoch]), batch_size=6)
    streamed = train(steps_per_epoch=4)
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), streamed.parameters(), strict=True))


class StreamOf:
    """Data that can only be iterated."""

    def __init__(self, samples: list[Any]) -> None:
        self._samples = samples

    def __iter__(self) -> Any:
        return iter(self._samples)
