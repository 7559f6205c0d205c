"""Batches: a permutation in each epoch, and the same samples however many workers share them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

from raynas.errors import TaskError
from raynas.oneshot import World
from raynas.oneshot.batches import Batches, MapBatches, StreamBatches, batches_in_order, collect, to_device
from raynas.oneshot.open_batches import open_batches

CPU = torch.device("cpu")
DATA = TensorDataset(torch.arange(47.0).view(-1, 1), torch.arange(47))


def batches(batch_size: int, world: World | None = None, seed: int = 0) -> MapBatches:
    return MapBatches(DATA, batch_size, seed=seed, world=world or World())


def samples(made: MapBatches, epoch: int) -> list[int]:
    return [int(target) for step in range(made.steps_per_epoch) for target in made.step(epoch, step).targets]


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
        whole = alone.step(epoch, step)
        parts = [made.step(epoch, step) for made in together]
        assert sorted(torch.cat([part.targets for part in parts]).tolist()) == sorted(whole.targets.tolist())
        assert all(torch.equal(part.inputs.view(-1).long(), part.targets) for part in [*parts, whole])
        assert whole.share == 1
        assert sum(part.share for part in parts) == pytest.approx(1, abs=1e-12)
        assert [part.share for part in parts] == [len(part.targets) / batch_size for part in parts]
        assert [part.size for part in parts] == [len(part.targets) for part in parts]
        assert max(part.size for part in parts) - min(part.size for part in parts) <= 1


@pytest.mark.parametrize(("num_pieces", "sizes"), [(1, [7]), (2, [3, 4]), (3, [2, 2, 3]), (7, [1] * 7), (9, [1] * 7)])
def test_a_batch_comes_apart_into_pieces_that_are_the_whole(num_pieces: int, sizes: list[int]) -> None:
    whole = batches(14, World(1, 2)).step(0, 0)
    pieces = whole.split(num_pieces)
    assert [piece.size for piece in pieces] == [len(piece.targets) for piece in pieces] == sizes
    assert torch.equal(torch.cat([piece.inputs for piece in pieces]), whole.inputs)
    assert torch.equal(torch.cat([piece.targets for piece in pieces]), whole.targets)
    assert sum(piece.share for piece in pieces) == pytest.approx(whole.share, abs=1e-12)


class Numbers:
    """Can only be iterated, from 0 anew each time."""

    def __init__(self, length: int) -> None:
        self.length, self.num_read = length, 0

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        for number in range(self.length):
            self.num_read += 1
            yield torch.tensor([float(number)]), number


class Placed(Numbers):
    """Knows where it is."""

    at = 0

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        for number in range(self.at, self.length):
            self.at = number + 1
            self.num_read += 1
            yield torch.tensor([float(number)]), number
        self.at = 0

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.at = state["at"]


def stream(data: Any, world: World | None = None) -> Batches:
    made = open_batches(data, 4, seed=0, world=world or World(), steps_per_epoch=5)
    assert isinstance(made, StreamBatches)
    return made


def test_a_stream_is_read_in_order_and_begun_anew_when_it_ends() -> None:
    made = stream(Numbers(10))
    assert [made.step(0, step).targets.tolist() for step in range(4)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 0, 1],
        [2, 3, 4, 5],
    ]


def test_workers_share_a_stream() -> None:
    parts = [stream(Numbers(10), World(rank, 3)).step(0, 0) for rank in range(3)]
    assert [part.targets.tolist() for part in parts] == [[0, 3], [1], [2]]
    assert [part.share for part in parts] == [0.5, 0.25, 0.25]


@pytest.mark.parametrize("num_steps", [0, 1, 3, 5, 8])
@pytest.mark.parametrize("kind", [Numbers, Placed])
def test_a_stream_goes_on_where_it_was(kind: type[Numbers], num_steps: int) -> None:
    whole, data = stream(kind(10)), kind(10)
    for step in range(num_steps):
        whole.step(0, step)
    again = stream(data)
    again.load_state_dict(whole.state_dict())
    assert [again.step(0, step).targets.tolist() for step in range(9)] == [
        whole.step(0, step).targets.tolist() for step in range(9)
    ]
    skipped = 0 if kind is Placed else num_steps * 4 - (num_steps * 4 - 1) // 10 * 10 if num_steps else 0
    assert data.num_read == 36 + skipped  # what keeps its own place is not read again


def test_streams_that_give_nothing_or_have_no_length_are_refused() -> None:
    with pytest.raises(TaskError, match="gave no sample"):
        stream(Numbers(0)).step(0, 0)
    with pytest.raises(TaskError, match="is a Numbers, whose length is not known; give steps_per_epoch"):
        open_batches(Numbers(3), 2, seed=0, world=World())


@pytest.mark.parametrize("size", [1, 2, 3])
def test_in_order_workers_share_the_batches(size: int) -> None:
    made = [list(batches_in_order(DATA, 10, device=CPU, world=World(rank, size))) for rank in range(size)]
    assert sorted(int(target) for part in made for _, targets, _ in part for target in targets) == list(range(47))
    assert max(map(len, made)) - min(map(len, made)) <= 1


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
