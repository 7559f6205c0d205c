"""Samples put together: which, that they are the same ones, and that they travel as arrays."""

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from raynas.oneshot import CollatedData, collated

WHOLE = TensorDataset(torch.arange(24.0).view(6, 2, 2), torch.arange(6))


class Counting(Dataset[Any]):
    """Pairs of an array and a number, as many as one likes; counts how often one is read."""

    def __init__(self, length: int) -> None:
        self.length, self.num_read = length, 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Any, int]:
        self.num_read += 1
        return np.full(3, index, dtype=np.float32), index


class Stream:
    def __iter__(self) -> Iterator[Any]:
        for number in range(1_000):
            yield torch.tensor([float(number)]), number


def equal(one: TensorDataset, *tensors: torch.Tensor) -> bool:
    return all(torch.equal(part, tensor) for part, tensor in zip(one.tensors, tensors, strict=True))


def test_every_kind_of_data_gives_its_samples() -> None:
    assert equal(CollatedData.collect(WHOLE), *WHOLE.tensors)
    assert equal(CollatedData.collect(WHOLE, 4), *(tensor[:4] for tensor in WHOLE.tensors))
    assert equal(CollatedData.collect(Subset(WHOLE, [5, 1])), *(tensor[[5, 1]] for tensor in WHOLE.tensors))
    assert equal(CollatedData.collect(Stream(), 3), torch.tensor([[0.0], [1.0], [2.0]]), torch.arange(3))
    counting = Counting(10)
    assert equal(CollatedData.collect(counting, 20), torch.arange(10.0).view(10, 1).expand(10, 3), torch.arange(10))
    assert counting.num_read == 11


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [torch.ones(2)],
        [({"x": torch.ones(2)}, 1)],
        [("text", 1)],
        [(torch.ones(1), 0), (torch.ones(2), 0)],
        [(object(), 1)],
    ],
    ids=["none", "bare", "nested", "text", "ragged", "objects"],
)
def test_what_cannot_be_put_together_is_left_to_others(samples: list[Any]) -> None:
    assert CollatedData.collect(samples) is None


def test_what_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collated, "MOST_BYTES", 1_000)
    counting = Counting(1_000)
    assert CollatedData.collect(counting) is None
    assert counting.num_read == 1
    assert CollatedData.collect(counting, 10) is not None
    assert CollatedData.collect(TensorDataset(torch.ones(300), torch.ones(300))) is None
    assert CollatedData.collect(TensorDataset(torch.ones(300), torch.ones(300)), 10) is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool, torch.int64, torch.complex64, torch.uint8])
def test_it_travels_as_arrays_that_are_not_copied(dtype: torch.dtype) -> None:
    data = CollatedData(torch.ones(2, 3, 5).to(dtype).transpose(0, 1), torch.arange(3))
    buffers: list[pickle.PickleBuffer] = []
    sent = pickle.dumps(data, protocol=5, buffer_callback=buffers.append)
    assert len(buffers) == 2
    assert len(sent) < 500
    store = [bytearray(buffer) for buffer in buffers]
    come = pickle.loads(sent, buffers=[memoryview(each).toreadonly() for each in store])
    assert equal(come, *data.tensors)
    assert come.tensors[0].dtype == dtype
    store[1][0] = 9
    assert come.tensors[1][0] == 9, "it lies where it was read"
    assert equal(pickle.loads(pickle.dumps(data)), *data.tensors)
