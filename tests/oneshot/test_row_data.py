"""Rows as pairs: which columns, what becomes of their entries, and in which order they come."""

from typing import Any

import numpy as np
import pytest
import torch

from raynas.errors import TaskError
from raynas.oneshot.row_data import RowData, as_tensors, collate_column, is_row_data
from tests.oneshot.rows import Rows, objects

X, Y = np.arange(14, dtype=np.float32).reshape(7, 2), np.arange(7)


def test_a_dataset_is_known_by_its_methods() -> None:
    assert is_row_data(Rows(input=X, target=Y))
    for other in ([1], {"a": 1}, torch.utils.data.TensorDataset(torch.zeros(2)), iter([1]), None):
        assert not is_row_data(other)


def test_rows_come_as_pairs_of_tensors_anew_each_time() -> None:
    data = RowData(Rows(input=X, target=Y))
    for _ in range(2):
        pairs = list(data)
        assert [(x.tolist(), int(y)) for x, y in pairs] == [(x.tolist(), y) for x, y in zip(X, range(7), strict=True)]
        assert pairs[0][0].dtype == torch.float32
    pairs[0][0][0] = 5  # a copy
    assert X[0, 0] == 0


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_order_belongs_to_the_number_of_the_pass(shuffle: bool) -> None:
    data = RowData(Rows(input=X, target=Y, shuffle=shuffle))

    def order(number: int) -> list[int]:
        return [int(target) for _, targets in data.read(3, pass_number=number) for target in targets]

    first, second = order(0), order(1)
    assert sorted(first) == sorted(second) == list(range(7))
    assert (first == second) == (not shuffle)
    assert order(0) == first
    assert [len(targets) for _, targets in data.read(3)] == [3, 3, 1]


def test_a_column_of_pairs_stands_for_two() -> None:
    pairs = [(torch.tensor([1.0, 2.0]), 3), (torch.tensor([4.0, 5.0]), 6)]
    ((inputs, targets),) = RowData(Rows(item=pairs)).read(8)
    assert collate_column(inputs, "input").tolist() == [[1, 2], [4, 5]]
    assert collate_column(targets, "target").tolist() == [3, 6]
    with pytest.raises(TaskError, match="the column 'item' are int; expected pairs"):
        list(RowData(Rows(item=[1, 2])).read(8))


@pytest.mark.parametrize("names", [("image", "label"), ("input",), ("input", "target", "path"), ("item", "target")])
def test_other_columns_are_named(names: tuple[str, ...]) -> None:
    data = RowData(Rows(**dict.fromkeys(names, Y)))
    message = rf"have the columns {', '.join(map(repr, names))}; expected 'input' and 'target', or 'item' with pairs; .*rename"
    for read in (data.num_rows, lambda: next(iter(data))):
        with pytest.raises(TaskError, match=message):
            read()


def test_no_rows_have_no_columns() -> None:
    assert RowData(Rows()).num_rows() == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([1, 2], dtype=np.uint8), torch.tensor([1, 2], dtype=torch.uint8)),
        (objects([np.array([1.0, 2.0]), np.array([3.0, 4.0])]), torch.tensor([[1, 2], [3, 4]], dtype=torch.float64)),
        ([torch.ones(2), torch.zeros(2)], torch.tensor([[1.0, 1.0], [0.0, 0.0]])),
        ([True, False], torch.tensor([True, False])),
        (objects(["a", "b"]), ["a", "b"]),
    ],
    ids=["numbers", "lists", "tensors", "plain", "texts"],
)
def test_a_column_becomes_a_batch(values: Any, expected: Any) -> None:
    found = collate_column(values, "input")
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    else:
        assert found == expected


def test_dicts_are_put_together_by_their_names() -> None:
    found = collate_column(objects([{"a": np.ones(2), "b": 1}, {"a": np.zeros(2), "b": 2}]), "input")
    assert found["a"].tolist() == [[1, 1], [0, 0]]
    assert found["b"].tolist() == [1, 2]


@pytest.mark.parametrize(
    "values", [[np.ones(2), np.ones(3)], [None, 1.0], [{"a": 1}, {"b": 1}], np.array(["2020-01-01"], dtype="datetime64[D]")]
)
def test_what_cannot_be_put_together_is_named(values: Any) -> None:
    with pytest.raises(TaskError, match="the targets of the training data cannot be put together into a batch: "):
        collate_column(objects(values) if isinstance(values, list) else values, "target")


def test_arrays_inside_of_containers_become_tensors_of_their_own() -> None:
    array = np.arange(3)
    array.flags.writeable = False
    found = as_tensors({"a": (array, [array]), "b": "text"})
    assert torch.equal(found["a"][0], torch.arange(3))
    assert torch.equal(found["a"][1][0], torch.arange(3))
    assert found["b"] == "text"
