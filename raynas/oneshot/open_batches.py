"""``open_batches``: which batches a task's data gives."""

from __future__ import annotations

from typing import Any

from raynas.oneshot.batches import Batches, MapBatches, StreamBatches
from raynas.oneshot.row_batches import RowBatches
from raynas.oneshot.row_data import RowData
from raynas.oneshot.workers.world import World


def open_batches(data: Any, batch_size: int, *, seed: int, world: World, steps_per_epoch: int | None = None) -> Batches:
    """``MapBatches`` of data that can be indexed, ``RowBatches`` of rows, ``StreamBatches`` of what can only be iterated."""
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return MapBatches(data, batch_size, seed=seed, world=world)
    if isinstance(data, RowData):
        return RowBatches(data, batch_size, world=world, steps_per_epoch=steps_per_epoch)
    return StreamBatches(data, batch_size, world=world, steps_per_epoch=steps_per_epoch)
