"""``Task``: what it accepts, and how its data is reached."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from raynas.errors import TaskError
from raynas.oneshot import Task
from raynas.oneshot.row_data import RowData
from tests.oneshot.rows import Rows

MakeTask = Callable[..., Task]


class Squares(Dataset[tuple[Tensor, int]]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.tensor([float(index), float(index**2)]), index

    def __call__(self) -> None:
        raise AssertionError("data that can be indexed is not called")


PAIRS = [(torch.zeros(2), 0), (torch.ones(2), 1)]


@pytest.mark.parametrize(
    ("data", "length"),
    [(PAIRS, 2), (lambda: PAIRS, 2), (Squares(), 3), (Squares, 3)],
    ids=["list", "function", "data", "class"],
)
def test_data_is_given_or_loaded(make_task: MakeTask, data: Any, length: int) -> None:
    assert len(make_task(train_data=data).data("train")) == length


def test_rows_are_for_training_only(make_task: MakeTask) -> None:
    rows = Rows(input=[1.0, 2.0], target=[0, 1])
    for given in (rows, lambda: rows):
        task = make_task(train_data=given, valid_data=given)
        assert isinstance(task.data("train"), RowData)
        with pytest.raises(TaskError, match=r"valid_data is a Rows of Ray, which only train_data may be; give a list of pairs"):
            task.data("valid")


def test_a_sample_comes_with_a_batch_dimension_from_the_validation_data(make_task: MakeTask) -> None:
    assert make_task(valid_data=Squares()).sample_input().tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": None}, "model is None; expected a function or a class"),
        ({"loss": "mse"}, "loss is 'mse'"),
        ({"optimizer": 0.1}, "optimizer is 0.1"),
        ({"train_data": None}, "train_data is None; expected data with a length"),
        ({"valid_data": iter([1])}, "valid_data is <list_iterator"),
        ({"test_data": 3}, "test_data is 3"),
        ({"batch_size": 0}, "batch_size is 0; expected an integer of at least 1"),
        ({"batch_size": 2.0}, r"batch_size is 2\.0"),
        ({"batch_size": True}, "batch_size is True"),
        ({"metrics": {"loss": len}}, 'metrics has a "loss"'),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused(make_task: MakeTask, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        make_task(**fields)


@pytest.mark.parametrize(("data", "word"), [([], "empty"), (list, "empty"), (lambda: None, "missing")])
def test_data_without_samples_is_refused(make_task: MakeTask, data: Any, word: str) -> None:
    with pytest.raises(TaskError, match=f"train_data is {word}"):
        make_task(train_data=data).data("train")


def test_test_data_may_be_left_out(task: Task) -> None:
    with pytest.raises(TaskError, match="test_data is missing"):
        task.data("test")


def test_the_objective_is_the_first_metric_or_the_loss(make_task: MakeTask) -> None:
    assert make_task(metrics={"b": len, "a": len}).objective == ("b", "max")
    assert make_task(metrics={}).objective == ("loss", "min")
