"""A ``ray.data.Dataset`` as training data: the same steps as with the same samples in memory, also after a failure."""

import dataclasses
import functools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray.data
import torch
from torch import nn

import raynas
from raynas.errors import OptionError, TaskError, TrainingError
from raynas.nn import LayerChoice
from raynas.oneshot import CheckpointStore
from raynas.storage import Storage
from tests.conftest import make_data

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(400)]
EPOCHS, STEPS = 4, 16  # four steps an epoch
OFTEN = raynas.TrainOptions(epochs=EPOCHS, checkpoint_every=3, log_every=1)


def dataset(*, seed: int | None = 5) -> Any:
    """The samples of ``tiny_task``, computed by tasks of Ray Data, in another order in each epoch."""
    inputs, targets = make_data(128, 0).tensors
    rows = [{"x": x.numpy(), "target": int(y)} for x, y in zip(inputs, targets, strict=True)]
    named = ray.data.from_items(rows, override_num_blocks=4).map(lambda row: {"input": row["x"], "target": row["target"]})
    return named.random_shuffle(seed=ray.data.RandomSeedConfig(seed=seed) if seed is not None else None)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As workers have it: sums come out the same to the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(task: raynas.Task, folder: Path, name: str, **changed: Any) -> list[str]:
    """Train; gives the digests of the weights."""
    given = {"options": OFTEN, "storage_path": folder, "name": name, "registry": f"ray-data-{name}", **changed}
    trained = raynas.train_supernet(task, **given)
    assert trained.num_steps == STEPS
    return sorted(path.name for path in (trained.folder / "weights" / "shards").iterdir())


class Epochs:
    """The same samples in the same order, as data that can only be iterated."""

    def __init__(self, data: Any) -> None:
        self.rows = []
        data.context.execution_options.preserve_order = True
        for epoch in range(EPOCHS):
            data.context._execution_idx = epoch
            self.rows += data.take_all()

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        return ((torch.tensor(row["input"]), row["target"]) for row in self.rows)


def newest(folder: Path) -> str:
    found = CheckpointStore(Storage(folder / "checkpoints" / "supernet")).newest()
    assert found is not None
    return Path(found.place).name


@pytest.mark.nightly
def test_steps_are_those_on_the_same_samples_and_go_on_at_the_end_of_an_epoch(tiny_task: raynas.Task, tmp_path: Path) -> None:
    stream = dataclasses.replace(tiny_task, train_data=Epochs(dataset()))
    expected = train(stream, tmp_path, "stream", options=dataclasses.replace(OFTEN, steps_per_epoch=4))
    rows = dataclasses.replace(tiny_task, train_data=dataset())
    assert train(rows, tmp_path, "rows") == expected
    seen: list[int] = []

    def interrupt(step: int, *_: object) -> None:
        seen.append(step)
        if step == 11:  # in epoch 3
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(rows, tmp_path, "cut", on_progress=interrupt)
    assert newest(tmp_path / "cut") == "000001-000000008"
    seen.clear()
    again = dataclasses.replace(tiny_task, train_data=dataset)
    assert train(again, tmp_path, "cut", resume=True, on_progress=lambda step, *_: seen.append(step)) == expected
    assert seen == list(range(9, 17))
    result = raynas.search(
        raynas.generate_search_space(tiny_task.model()),
        raynas.inherited(rows, registry="ray-data-cut"),
        num_trials=2,
        engine="local",
    )
    assert result.best.metrics["accuracy"] > 0


def dying_loss(marker: Path, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The loss; at the 11th step the worker is killed, once."""
    if "RANK" in os.environ and not marker.exists():
        counter = marker.with_name("count")
        done = int(counter.read_text()) + 1 if counter.exists() else 1
        counter.write_text(str(done))
        if done == 11:
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return nn.functional.cross_entropy(output, target)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_killed_worker_is_replaced_and_goes_on_at_the_end_of_an_epoch(tiny_task: raynas.Task, tmp_path: Path) -> None:
    expected = train(dataclasses.replace(tiny_task, train_data=dataset()), tmp_path, "whole")
    loss = functools.partial(dying_loss, tmp_path / "killed")
    task = dataclasses.replace(tiny_task, train_data=dataset(), loss=loss)
    assert train(task, tmp_path, "killed-run", num_workers=1) == expected
    assert (tmp_path / "killed").exists(), "no worker was killed: the test proves nothing"
    assert newest(tmp_path / "killed-run") == "000002-000000016"


@pytest.mark.nightly
def test_rows_that_are_no_pairs_and_too_few_of_them_are_named(tiny_task: raynas.Task, tmp_path: Path) -> None:
    wrong = ray.data.from_items([{"image": 1.0, "label": 1}] * 64).map(lambda row: row)
    with pytest.raises(TaskError, match="have the columns 'image', 'label'; expected 'input' and 'target'"):
        train(dataclasses.replace(tiny_task, train_data=wrong), tmp_path, "wrong")
    short = ray.data.from_items([{"input": 1.0, "target": 1}] * 31)
    for name, data in (("short", short), ("none", short.limit(0))):
        with pytest.raises(TaskError, match=r"the data has (31|0) samples, fewer than one batch of 32"):
            train(dataclasses.replace(tiny_task, train_data=data), tmp_path, name)
    cpus = int(ray.cluster_resources()["CPU"])
    with pytest.raises(OptionError, match="and 1 CPU for Ray Data, which computes the training data, are wanted"):
        train(dataclasses.replace(tiny_task, train_data=wrong), tmp_path, "room", num_workers=cpus)


@pytest.mark.nightly
def test_a_torch_dataset_that_became_one_of_ray_is_taken_as_it_is(tiny_task: raynas.Task, tmp_path: Path) -> None:
    pairs = ray.data.from_torch(tiny_task.data("train"))
    stream = dataclasses.replace(tiny_task, train_data=iter_anew(list(tiny_task.data("train"))))
    expected = train(stream, tmp_path, "pairs-stream", options=dataclasses.replace(OFTEN, steps_per_epoch=4))
    assert train(dataclasses.replace(tiny_task, train_data=pairs), tmp_path, "pairs") == expected


def iter_anew(samples: list[Any]) -> Any:
    class Stream:
        def __iter__(self) -> Iterator[Any]:
            return iter(samples)

    return Stream()


class Plain(nn.Module):
    """Without batch norm, whose statistics would be those of half a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice({"linear": nn.Linear(8, 8), "same": nn.Identity()}, key="op")
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.head(self.op(x))
        return output


def rotated() -> Any:
    """The samples in an order of its own in each worker, as a shuffle without a seed gives it."""
    rows = [{"input": x.numpy(), "target": int(y)} for x, y in make_data(128, 0)]
    at = int(os.environ.get("RANK", "0"))
    return ray.data.from_items([*rows[at:], *rows[:at]])


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_two_workers_share_each_batch_and_notice_another_order(tiny_task: raynas.Task, tmp_path: Path) -> None:
    losses: dict[int, list[float]] = {}
    stored = dataclasses.replace(tiny_task, model=Plain, train_data=dataset().materialize())
    for num_workers in (0, 2):
        train(
            stored,
            tmp_path,
            f"stored-{num_workers}",
            num_workers=num_workers,
            on_progress=lambda step, _, figures: losses.setdefault(step, []).append(figures["loss"]),
        )
    compared = [pair for pair in losses.values() if len(pair) > 1]
    assert compared
    for one, other in compared:
        assert one == pytest.approx(other, rel=1e-4)
    with pytest.raises(TrainingError, match="the order of the training data, which only a shuffle with a seed keeps"):
        train(dataclasses.replace(stored, train_data=rotated), tmp_path, "rotated", num_workers=2)
