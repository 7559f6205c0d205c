import dataclasses
import threading

import pytest
import ray.cloudpickle
import torch

import raynas
from raynas.errors import TaskError
from raynas.runtime import ship


def test_what_is_shipped_comes_back(tiny_task: raynas.Task) -> None:
    task = ray.cloudpickle.loads(ship(tiny_task, "task"))
    assert torch.equal(task.data("train")[0][0], tiny_task.data("train")[0][0])


def test_what_cannot_be_pickled_is_named_down_to_its_part(tiny_task: raynas.Task) -> None:
    class Locked(torch.utils.data.Dataset[object]):
        def __init__(self) -> None:
            self.lock = threading.Lock()

        def __len__(self) -> int:
            return 100

        def __getitem__(self, index: int) -> object:
            return index

    with pytest.raises(TaskError, match=r"task\.valid_data\.lock cannot be pickled.*lambda: load"):
        ship(dataclasses.replace(tiny_task, valid_data=Locked()), "task")
