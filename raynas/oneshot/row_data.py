"""``RowData``: a ``ray.data.Dataset`` as training data. It is known by its methods: nothing of Ray is imported here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from raynas.errors import TaskError

INPUT, TARGET, PAIR = "input", "target", "item"
Column = Sequence[Any]  # an entry for each row; an array where the entries are numbers of one shape
_READ_AHEAD = 64  # rows at once where samples are asked for one by one


def is_row_data(data: Any) -> bool:
    """Whether it is a ``ray.data.Dataset``, or has what is needed of one."""
    methods = ("iter_batches", "iter_rows", "count", "columns")
    return not hasattr(data, "__getitem__") and all(callable(getattr(data, name, None)) for name in methods)


class RowData:
    """The rows of a ``ray.data.Dataset`` as ``(input, target)`` pairs. Each pass reads it anew, in its own order.

    A row has the columns ``input`` and ``target``; or the one column ``item``, which holds a pair, as ``ray.data.from_torch``
    and ``from_items`` make it.

    Args:
        dataset: the Dataset. Its context is changed: the order of its rows is kept, and its progress is not shown.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        dataset.context.execution_options.preserve_order = True
        dataset.context.enable_progress_bars = False  # one for each epoch of each worker
        dataset.context.print_on_execution_start = False

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for inputs, targets in self.read(_READ_AHEAD):
            yield from zip(as_tensors(inputs), as_tensors(targets), strict=True)

    def num_rows(self) -> int:
        """How many there are. If Ray does not know, the whole Dataset is computed for it.

        Raises:
            TaskError: the columns are not those of pairs.
        """
        check_columns(self.dataset.columns() or (INPUT, TARGET))  # of no rows there are no columns
        return int(self.dataset.count())

    def read(self, batch_size: int, *, pass_number: int = 0) -> Iterator[tuple[Column, Column]]:
        """Inputs and targets in the order of the rows, ``batch_size`` at once; at the end perhaps fewer.

        Args:
            batch_size: how many rows.
            pass_number: from 0. A shuffle with a ``ray.data.RandomSeedConfig`` that reseeds has another order in each pass,
                and in a pass of one number always the same.

        Raises:
            TaskError: the columns are not those of pairs.
        """
        if hasattr(self.dataset.context, "_execution_idx"):  # what reseeds; Ray counts how often a process reads the Dataset
            self.dataset.context._execution_idx = pass_number
        for rows in self.dataset.iter_batches(batch_size=batch_size, batch_format="numpy"):
            yield _pairs(rows)


def check_columns(names: Iterable[str]) -> None:
    """Raises ``TaskError``, naming the columns, if they are not those of pairs."""
    found = list(names)
    if sorted(found) not in ([INPUT, TARGET], [PAIR]):
        raise TaskError(
            f"the rows of the training data have the columns {', '.join(map(repr, found))}; expected {INPUT!r} and {TARGET!r}, "
            f"or {PAIR!r} with pairs; Dataset.rename_columns and Dataset.select_columns make them"
        )


def collate_column(values: Column, name: str) -> Any:
    """Entries of a column as a batch: a tensor, or what ``default_collate`` makes of dicts, tuples and texts.

    Raises:
        TaskError: they cannot be put together.
    """
    try:
        whole = as_tensors(values)
        return whole if isinstance(whole, torch.Tensor) else default_collate(whole)
    except (TypeError, ValueError, RuntimeError, LookupError) as error:
        raise TaskError(
            f"the {name}s of the training data cannot be put together into a batch: {error}; make them of one kind and one "
            "shape with Dataset.map"
        ) from None


def as_tensors(value: Any) -> Any:
    """Arrays as tensors of their own, in tuples, lists and dicts too; an array of objects becomes a list."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return torch.tensor(value)  # a copy: what lies in the object store cannot be written to
    if isinstance(value, np.ndarray):
        return [as_tensors(entry) for entry in value]
    if isinstance(value, Mapping):
        return {name: as_tensors(entry) for name, entry in value.items()}
    return type(value)(map(as_tensors, value)) if type(value) in (tuple, list) else value


def _pairs(rows: Mapping[str, Column]) -> tuple[Column, Column]:
    check_columns(rows)
    if PAIR not in rows:
        return rows[INPUT], rows[TARGET]
    pairs = list(rows[PAIR])
    if not all(isinstance(pair, Sequence | np.ndarray) and len(pair) == 2 for pair in pairs):
        raise TaskError(f"the entries of the column {PAIR!r} are {type(pairs[0]).__name__}; expected pairs of input and target")
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
