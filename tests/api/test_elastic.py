"""Values, depths and nesting through the whole path, in process."""

import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn

import raynas
from raynas.nn import BatchNorm1d, LayerChoice, Linear, Repeat, ValueChoice


class Block(nn.Module):
    def __init__(self, width: ValueChoice, index: int) -> None:
        super().__init__()
        inner = ValueChoice([8, 16], key=f"inner{index}")
        self.op = LayerChoice(
            {"wide": nn.Sequential(Linear(width, inner), nn.ReLU(), Linear(inner, width)), "same": nn.Identity()},
            key=f"op{index}",
        )
        self.norm = BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.op(x))


class Elastic(nn.Module):
    """Takes eight numbers, tells three classes apart."""

    def __init__(self) -> None:
        super().__init__()
        width = ValueChoice([6, 12], key="width")
        self.stem = Linear(8, width)
        self.body = Repeat(lambda index: Block(width, index), depth=(0, 2), key="depth")
        self.head = Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x)).relu())


def test_an_elastic_supernet_is_trained_searched_and_retrained(tiny_task: raynas.Task, tmp_path: Path) -> None:
    task = dataclasses.replace(tiny_task, model=Elastic)
    space = raynas.generate_search_space(Elastic())
    assert space.size == 2 * (1 + 3 + 9)  # a block is the same, or wide with one of two inner widths
    raynas.train_supernet(task, epochs=60, storage_path=tmp_path, name="elastic")
    evaluate = raynas.inherited(task, registry="elastic")
    result = raynas.search(space, evaluate, searcher="random", num_trials=26, engine="local")
    rows = result.trials.to_pylist()
    assert {row["state"] for row in rows} == {"completed"}
    assert len({row["digest"] for row in rows}) == 26
    assert result.best.value > 0.8
    for record in result.records.values():
        plain = raynas.freeze(Elastic(), record.architecture)
        assert record.metrics["params"] == sum(parameter.numel() for parameter in plain.parameters())
    final = raynas.retrain(task, result.best.architecture, epochs=20)
    assert final.metrics["accuracy"] > 0.7
    torch.testing.assert_close(final.model(torch.ones(1, 8)).shape, torch.Size([1, 3]))
