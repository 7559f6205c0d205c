"""``CollatedData``: samples put together once, which other processes read where they lie. Batches of them: ``batches``."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset, default_collate

from raynas.weights import as_tensor

MOST_BYTES = 2**30  # that are put together; of larger data every process opens its own


class CollatedData(TensorDataset):
    """Data whose samples lie in one tensor for each of their parts.

    It is pickled as NumPy arrays, so that Ray's object store keeps it once on each machine and hands out views. They are not
    to be written to: whoever takes samples by a list of indices has copies.
    """

    @classmethod
    def collect(cls, data: Any, num_samples: int | None = None) -> CollatedData | None:
        """Put the samples of some data together.

        Args:
            data: map-style, or something to iterate.
            num_samples: the first so many; ``None``: all, of data with a length.

        Returns:
            ``None`` where the samples are not tuples of tensors or numbers, differ in shape, or are too large.
        """
        if isinstance(data, TensorDataset):
            parts = data.tensors if num_samples is None else tuple(tensor[:num_samples] for tensor in data.tensors)
            return cls(*parts) if sum(tensor.nbytes for tensor in parts) <= MOST_BYTES else None
        first = _collate(list(itertools.islice(_iterate(data, 1), 1)))
        if first is None:
            return None
        number = len(data) if num_samples is None else num_samples
        if sum(tensor.nbytes for tensor in first) * number > MOST_BYTES:
            return None
        together = _collate(list(itertools.islice(_iterate(data, number), number)))
        return cls(*together) if together is not None else None

    def __reduce__(self) -> tuple[Any, ...]:
        arrays = [tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy() for tensor in self.tensors]
        kinds = [(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)) for tensor in self.tensors]
        return _restore, (arrays, kinds)


def _restore(arrays: list[np.ndarray[Any, Any]], kinds: list[tuple[str, tuple[int, ...]]]) -> CollatedData:
    flat = map(as_tensor, arrays)
    return CollatedData(
        *(part.view(getattr(torch, dtype)).view(shape) for part, (dtype, shape) in zip(flat, kinds, strict=True))
    )


def _iterate(data: Any, number: int) -> Any:
    """At most so many samples; data that can be indexed need not end a loop by itself."""
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return (data[index] for index in range(min(number, len(data))))
    return data


def _collate(samples: list[Any]) -> list[Tensor] | None:
    try:
        collated = default_collate(samples)
    except (TypeError, RuntimeError, IndexError):  # of another kind, of several shapes, or none at all
        return None
    if not isinstance(collated, list | tuple) or not all(isinstance(part, Tensor) for part in collated):
        return None
    return list(collated)
