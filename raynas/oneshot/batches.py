"""Batches: the same samples in the same order, however many workers share them and wherever training begins again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import TensorDataset, default_collate

from raynas.errors import TaskError
from raynas.oneshot.task import MapDataset
from raynas.oneshot.workers.world import World


@dataclass(frozen=True)
class Batch:
    """One worker's part of the samples of one step.

    Attributes:
        inputs, targets: collated, on the worker's device.
        size: how many samples these are.
        share: this worker's part of all samples of the step, the weight of its mean loss: the losses of all workers, so
            weighted, add up to the mean loss of the step.
    """

    inputs: Any
    targets: Any
    size: int
    share: float

    def split(self, num_pieces: int) -> list[Batch]:
        """The same in pieces of about one size, no piece without a sample; their shares add up to this one's."""
        if num_pieces == 1 or self.size == 1:
            return [self]
        ends = [self.size * number // num_pieces for number in range(num_pieces + 1)]
        return [
            Batch(
                _part(self.inputs, start, end),
                _part(self.targets, start, end),
                end - start,
                self.share * (end - start) / self.size,
            )
            for start, end in itertools.pairwise(ends)
            if end > start
        ]


class Batches(Protocol):
    """Where a trainer takes its batches from.

    Attributes:
        steps_per_epoch: how many batches an epoch has.
        checkpoint_unit: training can go on after each multiple of so many steps.
    """

    steps_per_epoch: int
    checkpoint_unit: int

    def step(self, epoch: int, step: int) -> Batch:
        """This worker's part of the batch of a step; asked for in order, but for a new start after ``load_state_dict``."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """This worker's place in the data, beyond epoch and step."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at that place."""
        ...

    def shared_texts(self) -> dict[str, str]:
        """What must have the same characters on all workers at the end of an epoch."""
        ...


class MapBatches:
    """Shuffled batches of each epoch, of which this worker takes its share.

    The order depends on the seed and the epoch alone. Every ``world.size``-th sample of a batch is this worker's, beginning
    with ``world.rank``. The last samples, too few for a batch, are left out (of another order in each epoch).

    Args:
        data: map-style data of ``(input, target)``.
        batch_size: samples of one step, of all workers together.
        seed: of the orders.
        world: the workers.

    Raises:
        TaskError: the data is shorter than one batch, or a batch than the number of workers.
    """

    checkpoint_unit = 1

    def __init__(self, data: MapDataset, batch_size: int, *, seed: int, world: World) -> None:
        check_batch_size(batch_size, world, len(data))
        self._data, self._batch_size, self._seed, self._world = data, batch_size, seed, world
        self.steps_per_epoch = len(data) // batch_size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def step(self, epoch: int, step: int) -> Batch:
        """This worker's part of one batch; of any, in any order."""
        if self._epoch != epoch:
            generator = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
            self._order, self._epoch = torch.randperm(len(self._data), generator=generator), epoch
        start = step * self._batch_size
        indices = self._order[start : start + self._batch_size][self._world.rank :: self._world.size]
        inputs, targets = collect(self._data, indices)
        device = self._world.device
        return Batch(to_device(inputs, device), to_device(targets, device), len(indices), len(indices) / self._batch_size)

    def state_dict(self) -> dict[str, Any]:
        return {}  # epoch and step say it all

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to do."""

    def shared_texts(self) -> dict[str, str]:
        return {}


class StreamBatches:
    """Batches of data that can only be iterated, begun anew whenever it ends.

    Every worker reads the whole stream and keeps every ``world.size``-th sample, so the stream must be the same on all of them.
    Data with a ``state_dict`` and a ``load_state_dict`` goes on by these; of other data what was taken is read again.

    Args:
        data: gives ``(input, target)`` pairs each time that it is iterated.
        batch_size: samples of one step, of all workers together.
        world: the workers.
        steps_per_epoch: how many batches are called an epoch, by which the learning rate goes.

    Raises:
        TaskError: there is no ``steps_per_epoch``, or a batch is smaller than the number of workers.
    """

    checkpoint_unit = 1

    def __init__(self, data: Any, batch_size: int, *, world: World, steps_per_epoch: int | None) -> None:
        if steps_per_epoch is None:
            raise TaskError(
                f"the training data is a {type(data).__name__}, whose length is not known; give steps_per_epoch, "
                "or data with __len__ and __getitem__"
            )
        check_batch_size(batch_size, world)
        self._data, self._batch_size, self._world = data, batch_size, world
        self.steps_per_epoch = steps_per_epoch
        self._samples: Iterator[Any] | None = None
        self._num_taken = 0  # samples since the stream was begun

    def step(self, epoch: int, step: int) -> Batch:
        """This worker's part of the next batch, whatever its number."""
        samples = [self._next() for _ in range(self._batch_size)][self._world.rank :: self._world.size]
        inputs, targets = default_collate(samples)
        device = self._world.device
        return Batch(to_device(inputs, device), to_device(targets, device), len(samples), len(samples) / self._batch_size)

    def state_dict(self) -> dict[str, Any]:
        own = self._data.state_dict() if self._keeps_its_place() else None
        return {"num_taken": self._num_taken, "data": own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._num_taken = state["num_taken"]
        if self._keeps_its_place() and state["data"] is not None:
            self._data.load_state_dict(state["data"])
            self._samples = iter(self._data)
        else:
            self._samples = itertools.islice(self._data, self._num_taken, None)

    def shared_texts(self) -> dict[str, str]:
        return {}

    def _next(self) -> Any:
        for _ in range(2):
            if self._samples is None:
                self._samples, self._num_taken = iter(self._data), 0
            for sample in self._samples:
                self._num_taken += 1
                return sample
            self._samples = None
        raise TaskError("the training data gave no sample; it has to give them anew each time that it is iterated")

    def _keeps_its_place(self) -> bool:
        return hasattr(self._data, "state_dict") and hasattr(self._data, "load_state_dict")


def batches_in_order(
    data: MapDataset, batch_size: int, *, device: torch.device, limit: int | None = None, world: World | None = None
) -> Iterator[Any]:
    """``(inputs, targets, number of samples)`` over all data in its order, or over the first ``limit`` samples.

    With a ``world``, every ``world.size``-th batch, beginning with number ``world.rank``.
    """
    length = len(data) if limit is None else min(limit, len(data))
    first, step = (0, 1) if world is None else (world.rank, world.size)
    for start in range(first * batch_size, length, step * batch_size):
        indices = torch.arange(start, min(start + batch_size, length))
        inputs, targets = collect(data, indices)
        yield to_device(inputs, device), to_device(targets, device), len(indices)


def collect(data: MapDataset, indices: Tensor) -> Sequence[Any]:
    """The samples at the indices, put together; tensors that lie in memory are indexed in one go."""
    if isinstance(data, TensorDataset):
        return tuple(tensor[indices] for tensor in data.tensors)
    collated: Sequence[Any] = default_collate([data[int(index)] for index in indices])
    return collated


def to_device(value: Any, device: torch.device) -> Any:
    """Tensors on the device, in tuples, lists and dicts too."""
    return _map(value, lambda tensor: tensor.to(device, non_blocking=True))


def detached(value: Any) -> Any:
    """Tensors without their graph, in tuples, lists and dicts too."""
    return _map(value, lambda tensor: tensor.detach())


def check_batch_size(batch_size: int, world: World, num_samples: int | None = None) -> None:
    """Raises ``TaskError`` if a batch is larger than the data, or smaller than the number of workers."""
    if num_samples is not None and num_samples < batch_size:
        raise TaskError(
            f"the data has {num_samples} samples, fewer than one batch of {batch_size}; take a smaller batch_size in the Task"
        )
    if batch_size < world.size:
        raise TaskError(f"a batch of {batch_size} cannot be shared by {world.size} workers")


def _part(value: Any, start: int, end: int) -> Any:
    return _map(value, lambda tensor: tensor[start:end])


def _map(value: Any, change: Any) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple | list):
        entries = [_map(entry, change) for entry in value]
        return type(value)(*entries) if hasattr(value, "_fields") else type(value)(entries)  # a namedtuple takes them apart
    if isinstance(value, dict):
        return {name: _map(entry, change) for name, entry in value.items()}
    return value
