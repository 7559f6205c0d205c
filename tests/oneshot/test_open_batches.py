"""Which batches data gives: by index, by rows, or as it comes."""

from typing import Any

import numpy as np
import pytest
import torch

from raynas.oneshot import World
from raynas.oneshot.batches import MapBatches, StreamBatches
from raynas.oneshot.open_batches import open_batches
from raynas.oneshot.row_batches import RowBatches
from raynas.oneshot.row_data import RowData
from tests.oneshot.rows import Rows

MAP = torch.utils.data.TensorDataset(torch.zeros(8, 2), torch.zeros(8))
ROWS = RowData(Rows(input=np.zeros((8, 2)), target=np.zeros(8)))


@pytest.mark.parametrize(
    ("data", "kind", "steps"),
    [(MAP, MapBatches, 2), (ROWS, RowBatches, 3), (iter(MAP), StreamBatches, 3)],
    ids=["map", "rows", "stream"],
)
def test_each_kind_of_data_has_its_batches(data: Any, kind: type, steps: int) -> None:
    made = open_batches(data, 4, seed=0, world=World(), steps_per_epoch=3)
    assert isinstance(made, kind)
    assert made.steps_per_epoch == steps
    assert made.checkpoint_unit == (3 if kind is RowBatches else 1)
    assert bool(made.shared_texts()) == (kind is RowBatches)
