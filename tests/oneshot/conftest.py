"""A small task with everything that makes training hard to repeat: batch norm, dropout, a schedule, choices."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from raynas.nn import LayerChoice
from raynas.oneshot import Task

MakeTask = Callable[..., Task]
RunPair = Callable[[str, Path], None]


def run_pair_of(script: str, folder: Path) -> None:
    """Run a file of tests as two workers; it is told rank and folder. Each has to end well, within a minute."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": os.pathsep.join(sys.path)}
    commands = [[sys.executable, "-W", "error", script, str(rank), str(folder)] for rank in range(2)]
    workers = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for command in commands]
    try:
        errors = [worker.communicate(timeout=60)[1].decode() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(errors)


@pytest.fixture(scope="session")
def run_pair() -> RunPair:
    return run_pair_of


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3))
        self.op = LayerChoice([nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)), nn.Identity()], key="op")
        self.more = LayerChoice([nn.Linear(8, 8), nn.Identity()], key="more")
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.more(self.op(self.stem(x)).relu()))


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(1) == target).float().mean()


def make_data(length: int = 50, seed: int = 0) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(length, 4, generator=generator)
    return TensorDataset(inputs, (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0).long())


@pytest.fixture
def make_task() -> MakeTask:
    def make(**changed: Any) -> Task:
        fields: dict[str, Any] = {
            "model": Net,
            "loss": nn.functional.cross_entropy,
            "metrics": {"accuracy": accuracy},
            "optimizer": lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
            "schedule": lambda optimizer, steps: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps),
            "train_data": make_data(),
            "valid_data": make_data(21, seed=1),
            "batch_size": 16,
        }
        return Task(**(fields | changed))

    return make


@pytest.fixture
def task(make_task: MakeTask) -> Task:
    return make_task()
