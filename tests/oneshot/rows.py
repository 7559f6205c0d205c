"""What stands in for a ``ray.data.Dataset`` where no Ray is needed."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np


class Rows:
    """Columns in memory. With ``shuffle``, rows come in an order that depends on the context alone, as Ray's reseeding does.

    Attributes:
        num_taken: rows that were read.
        num_open: passes that were begun and neither ended nor closed.
    """

    def __init__(self, *, shuffle: bool = False, **columns: Any) -> None:
        self._columns = {name: np.asarray(values) if not isinstance(values, list) else objects(values)
                         for name, values in columns.items()}  # fmt: skip
        self._shuffle = shuffle
        self.num_taken = self.num_open = self.num_counted = 0
        self.context = SimpleNamespace(
            execution_options=SimpleNamespace(preserve_order=False), enable_progress_bars=True, _execution_idx=7
        )

    def columns(self) -> list[str]:
        return list(self._columns)

    def count(self) -> int:
        self.num_counted += 1
        return min((len(values) for values in self._columns.values()), default=0)

    def iter_rows(self) -> None:
        raise AssertionError("batches are read, not rows")

    def iter_batches(self, *, batch_size: int, batch_format: str) -> Iterator[dict[str, Any]]:
        assert batch_format == "numpy"
        assert self.context.execution_options.preserve_order
        assert not self.context.enable_progress_bars
        order = np.arange(len(next(iter(self._columns.values()))))
        if self._shuffle:
            order = np.random.default_rng(self.context._execution_idx).permutation(order)
        self.num_open += 1
        try:
            for start in range(0, len(order), batch_size):
                taken = order[start : start + batch_size]
                self.num_taken += len(taken)
                rows = {name: values[taken] for name, values in self._columns.items()}
                for values in rows.values():
                    values.flags.writeable = False  # as what lies in the object store
                yield rows
        finally:
            self.num_open -= 1

    def __len__(self) -> int:
        raise AttributeError("use count")

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("use iter_rows")


def objects(values: list[Any]) -> Any:
    """An array of objects, as Ray gives of what are no numbers of one shape."""
    array = np.empty(len(values), dtype=object)
    for number, value in enumerate(values):
        array[number] = value
    return array
