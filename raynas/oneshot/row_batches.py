"""``RowBatches``: batches of the rows of a ``ray.data.Dataset``, the same on however many workers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import torch

from raynas.errors import TaskError
from raynas.oneshot.batches import Batch, check_batch_size, to_device
from raynas.oneshot.row_data import INPUT, TARGET, Column, RowData, collate_column
from raynas.oneshot.workers.world import World


class RowBatches:
    """Batches of a ``ray.data.Dataset``, which is read anew for each epoch, in its own order.

    Every worker reads all rows and keeps every ``world.size``-th, so the order must be the same on all of them; they compare it
    after every epoch. Training goes on at the beginning of an epoch: only there the place in the data is known without reading.

    Args:
        data: the rows.
        batch_size: samples of one step, of all workers together.
        world: the workers.
        steps_per_epoch: how many batches of each pass are used, if not all that are whole.

    Raises:
        TaskError: the columns are not those of pairs, the data is shorter than a batch, or a batch than the number of workers.
    """

    def __init__(self, data: RowData, batch_size: int, *, world: World, steps_per_epoch: int | None) -> None:
        self._data, self._batch_size, self._world = data, batch_size, world
        if steps_per_epoch is None:
            num_rows = torch.tensor(data.num_rows() if world.rank == 0 else 0)
            world.sum([num_rows])  # one worker counts for all
            check_batch_size(batch_size, world, int(num_rows))
            steps_per_epoch = int(num_rows) // batch_size
        check_batch_size(batch_size, world)
        self.steps_per_epoch = self.checkpoint_unit = steps_per_epoch
        self._rows: Iterator[tuple[Column, Column]] = iter(())
        self._place, self._checksum = (-1, 0), 0

    def step(self, epoch: int, step: int) -> Batch:
        """This worker's part of one batch; where it is not the next one, the epoch is read from its beginning."""
        if (epoch, step) != self._place:
            self._rows, self._checksum = self._data.read(self._batch_size, pass_number=epoch), 0
            for number in range(step):
                self._next(number)
        whole, world = self._next(step), self._world
        self._place = (epoch, step + 1)
        if step + 1 == self.steps_per_epoch:
            self._rows = iter(())  # what is left of this pass need not be computed
        inputs, targets = (column[world.rank :: world.size] for column in whole)
        batch = to_device((collate_column(inputs, INPUT), collate_column(targets, TARGET)), world.device)
        return Batch(batch[0], batch[1], len(targets), len(targets) / self._batch_size)

    def state_dict(self) -> dict[str, Any]:
        return {}  # the epoch says it all

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to do."""

    def shared_texts(self) -> dict[str, str]:
        return {"the order of the training data, which only a shuffle with a seed keeps": str(self._checksum)}

    def _next(self, step: int) -> tuple[Column, Column]:
        inputs, targets = next(self._rows, ((), ()))
        if len(targets) < self._batch_size:
            raise TaskError(
                f"the training data has only {step} batches of {self._batch_size}, but steps_per_epoch is "
                f"{self.steps_per_epoch}; take less, or leave it out"
            )
        if self._world.size > 1:
            self._checksum = zlib.crc32(repr([*inputs[:1], *targets]).encode(), self._checksum)
        return inputs, targets
