"""Batches of map-style data: the same samples in the same order however many workers share them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import TensorDataset, default_collate

from raynas.errors import TaskError
from raynas.oneshot.task import MapDataset
from raynas.oneshot.world import World


class TrainBatches:
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

    def __init__(self, data: MapDataset, batch_size: int, *, seed: int, world: World) -> None:
        if len(data) < batch_size:
            raise TaskError(f"the training data has {len(data)} samples, fewer than one batch of {batch_size}")
        if batch_size < world.size:
            raise TaskError(f"a batch of {batch_size} cannot be shared by {world.size} workers")
        self._data, self._batch_size, self._seed, self._world = data, batch_size, seed, world
        self.steps_per_epoch = len(data) // batch_size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def step(self, epoch: int, step: int) -> tuple[Any, Any, float]:
        """This worker's part of one batch.

        Returns:
            Inputs, targets, and this worker's share of the samples of the step, which is the weight of its mean loss.
        """
        if self._epoch != epoch:
            generator = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
            self._order, self._epoch = torch.randperm(len(self._data), generator=generator), epoch
        start = step * self._batch_size
        indices = self._order[start : start + self._batch_size][self._world.rank :: self._world.size]
        inputs, targets = collect(self._data, indices)
        device = self._world.device
        return to_device(inputs, device), to_device(targets, device), len(indices) / self._batch_size


def batches_in_order(data: MapDataset, batch_size: int, *, device: torch.device, limit: int | None = None) -> Iterator[Any]:
    """``(inputs, targets, number of samples)`` over all data in its order, or over the first ``limit`` samples."""
    length = len(data) if limit is None else min(limit, len(data))
    for start in range(0, length, batch_size):
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
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, tuple | list):
        entries = [to_device(entry, device) for entry in value]
        return type(value)(*entries) if hasattr(value, "_fields") else type(value)(entries)  # a namedtuple takes them apart
    if isinstance(value, dict):
        return {name: to_device(entry, device) for name, entry in value.items()}
    return value
