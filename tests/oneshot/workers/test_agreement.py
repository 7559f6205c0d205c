"""Checksums over bits; what two workers make of them is in ``test_world``."""

import pytest
import torch

from raynas.oneshot import World
from raynas.oneshot.workers.agreement import check_agreement, checksum

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.int8, torch.bool, torch.complex64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_bits_have_equal_sums_whatever_the_layout(dtype: torch.dtype) -> None:
    tensor = torch.arange(24).view(4, 6).to(dtype)
    assert torch.equal(checksum(tensor), checksum(tensor.t().contiguous().t()))


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_changed_entry_changes_the_sum(dtype: torch.dtype) -> None:
    tensor = torch.ones(7, dtype=dtype)
    for place in range(7):
        other = tensor.clone()
        other[place] = 0
        assert not torch.equal(checksum(tensor), checksum(other))


def test_neighbours_that_change_places_change_the_sum() -> None:
    assert not torch.equal(checksum(torch.tensor([1.0, 2.0])), checksum(torch.tensor([2.0, 1.0])))


def test_no_number_is_compared_by_its_bits_and_nothing_sums_to_nothing() -> None:
    assert torch.equal(checksum(torch.tensor([float("nan")])), checksum(torch.tensor([float("nan")])))
    assert checksum(torch.empty(0)).tolist() == [0, 0]


def test_one_worker_agrees_with_itself() -> None:
    check_agreement(World(), {"weight": torch.ones(2)}, {"path": "a"})
