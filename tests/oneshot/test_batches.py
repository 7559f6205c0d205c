"""Batches: a permutation in each epoch, and the same samples however many workers share them."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

from raynas.errors import TaskError
from raynas.oneshot import World
from raynas.oneshot.batches import MapBatches, batches_in_order, collect, to_device

CPU = torch.device("cpu")
DATA = TensorDataset(torch.arange(47.0).view(-1, 1), torch.arange(47))


def batches(batch_size: int, world: World | None = None, seed: int = 0) -> MapBatches:
    return MapBatches(DATA, batch_size, seed=seed, world=world or World())


def samples(made: MapBatches, epoch: int) -> list[int]:
    return [int(target) for step in range(made.steps_per_epoch) for target in made.step(epoch, step)[1]]


@pytest.mark.parametrize("batch_size", [1, 7, 16, 47])
def test_an_epoch_has_each_sample_once_but_for_those_too_few_for_a_batch(batch_size: int) -> None:
    made = batches(batch_size)
    epochs = [samples(made, epoch) for epoch in range(3)]
    for epoch in epochs:
        assert len(epoch) == len(set(epoch)) == 47 // batch_size * batch_size
        assert set(epoch) <= set(range(47))
    assert epochs[0] != epochs[1] != epochs[2]


def test_orders_depend_on_seed_and_epoch_alone() -> None:
    torch.manual_seed(1)
    first = samples(batches(7, seed=3), 5)
    torch.manual_seed(2)
    made = batches(7, seed=3)
    samples(made, 0)
    assert samples(made, 5) == first
    assert samples(batches(7, seed=4), 5) != first


@pytest.mark.parametrize(("batch_size", "size"), [(16, 2), (7, 2), (9, 4), (3, 3)])
def test_workers_share_exactly_the_batch_of_one(batch_size: int, size: int) -> None:
    alone, together = batches(batch_size), [batches(batch_size, World(rank, size)) for rank in range(size)]
    for epoch, step in ((0, 0), (0, 1), (3, 1)):
        inputs, targets, share = alone.step(epoch, step)
        parts = [made.step(epoch, step) for made in together]
        assert sorted(torch.cat([part[1] for part in parts]).tolist()) == sorted(targets.tolist())
        assert all(torch.equal(part[0].view(-1).long(), part[1]) for part in [*parts, (inputs, targets)])
        assert share == 1
        assert sum(part[2] for part in parts) == pytest.approx(1, abs=1e-12)
        assert [part[2] for part in parts] == [len(part[1]) / batch_size for part in parts]
        assert max(len(part[1]) for part in parts) - min(len(part[1]) for part in parts) <= 1


@pytest.mark.parametrize(
    ("batch_size", "size", "message"),
    [(48, 1, "47 samples, fewer than one batch of 48"), (2, 3, "a batch of 2 cannot be shared by 3 workers")],
)
def test_what_cannot_be_shared_is_refused(batch_size: int, size: int, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        batches(batch_size, World(0, size))


def test_any_data_by_index_gives_the_same_as_tensors_in_memory() -> None:
    indices = torch.tensor([5, 0, 46])
    for data in (DATA, Subset(DATA, range(47)), [DATA[i] for i in range(47)]):
        inputs, targets = collect(data, indices)  # type: ignore[arg-type]
        assert inputs.tolist() == [[5], [0], [46]]
        assert targets.tolist() == [5, 0, 46]


@pytest.mark.parametrize(("limit", "sizes"), [(None, [20, 20, 7]), (30, [20, 10]), (20, [20]), (99, [20, 20, 7])])
def test_in_order_all_samples_come_once(limit: int | None, sizes: list[int]) -> None:
    made = list(batches_in_order(DATA, 20, device=CPU, limit=limit))
    assert [size for _, _, size in made] == sizes
    assert torch.cat([targets for _, targets, _ in made]).tolist() == list(range(sum(sizes)))


class Point(NamedTuple):
    x: Tensor
    label: str


def test_tensors_move_inside_of_containers() -> None:
    def on_meta(value: Any) -> Any:
        return to_device(value, torch.device("meta"))

    tensor = torch.ones(2)
    assert on_meta(tensor).is_meta
    nested = on_meta({"a": [tensor, (tensor, "text")], "b": 3})
    assert nested["a"][0].is_meta
    assert nested["a"][1][0].is_meta
    assert (type(nested["a"]), nested["a"][1][1], nested["b"]) == (list, "text", 3)
    point = on_meta(Point(tensor, "one"))
    assert isinstance(point, Point)
    assert point.x.is_meta
    assert point.label == "one"
