"""Devices, and a small model that every method can train. What is tested on a GPU is tested on the CPU too, by one code."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from raynas.nn import BatchNorm1d, InputChoice, LayerChoice, Linear, ValueChoice
from raynas.oneshot import Task, TrainHooks, TrainingJob, TrainOptions, World, make_trainer
from raynas.oneshot.one_shot_trainer import OneShotTrainer

STEPS_PER_EPOCH = 4
MakeTrainer = Callable[..., OneShotTrainer]
OPTIONS: dict[str, dict[str, Any]] = {"enas": {"controller_every": 2, "num_samples": 2}, "darts": {"order": 2}}


NEEDS_GPU = (
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


class Net(nn.Module):
    """Two candidates for each key; dropout, which draws from the device's generator, and batch norm, which keeps figures there.

    Args:
        sized: whether there is a width to choose as well, which some methods need and others refuse.
    """

    def __init__(self, *, sized: bool) -> None:
        super().__init__()
        width = ValueChoice([4, 8], key="width") if sized else 8
        self.stem = nn.Sequential(Linear(8, width), BatchNorm1d(width), nn.Dropout(0.2))
        self.op = LayerChoice([Linear(width, width), nn.Identity()], key="op")
        self.skip = InputChoice(choose_from=["stem", "op"], n_chosen=1, key="skip")
        self.head = Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        stem = self.stem(x)
        return self.head(self.skip([stem, self.op(stem).relu()]))


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(1) == target).float().mean()


def make_task(method: str) -> Task:
    inputs = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(inputs, inputs[:, :3].argmax(1))
    return Task(
        model=lambda: Net(sized=method in ("sandwich", "spos")),
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=0.01, eps=0.01),  # what is noise on a GPU stays small
        schedule=lambda optimizer, steps: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps),
        train_data=data,
        valid_data=data,
        batch_size=32 // STEPS_PER_EPOCH,
    )


@pytest.fixture
def make() -> MakeTrainer:
    """Gives a trainer of a method on a device; what ``TrainHooks`` takes may be given."""

    def make(method: str, device: torch.device, **hooks: Any) -> OneShotTrainer:
        options = TrainOptions(epochs=2, seed=3, ema=0.9, clip_norm=1.0, accumulate=2, validate_every=1, checkpoint_every=6)
        job = TrainingJob(make_task(method), options, method=method, method_options=OPTIONS.get(method, {}))
        trainer = make_trainer(job, World(device=device), TrainHooks(**hooks))
        assert isinstance(trainer, OneShotTrainer)
        return trainer

    return make
