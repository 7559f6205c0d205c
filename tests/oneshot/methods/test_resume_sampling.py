"""FairNAS, sandwich and ENAS go on from any step as if there had been no stop, bit for bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from raynas.nn import LayerChoice, Linear, Repeat, ValueChoice
from raynas.oneshot import Callback, Task, TrainHooks, TrainingJob, TrainOptions, World, make_trainer
from raynas.oneshot.one_shot_trainer import OneShotTrainer, state_digest

OPTIONS: dict[str, dict[str, Any]] = {
    "fairnas": {},
    "sandwich": {},
    "enas": {"controller_every": 2, "num_samples": 3, "learning_rate": 0.02},
}
Logged = dict[int, dict[str, float]]


class Net(nn.Module):
    """Batch norm and dropout, which remember and draw; choices of two, and for some methods a depth with choices below."""

    def __init__(self, *, sized: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3))
        self.op = LayerChoice([nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))], key="op")
        self.more = LayerChoice([nn.Linear(8, 8), nn.Identity()], key="more")
        width = ValueChoice([2, 6], key="width")
        self.sized = nn.Sequential(
            Linear(8, width),
            Linear(width, 8),
            Repeat(lambda index: LayerChoice([nn.Tanh(), nn.Linear(8, 8)], key=f"block{index}"), depth=(0, 2), key="depth"),
        )
        if not sized:
            self.sized = nn.Sequential()
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.sized(self.more(self.op(self.stem(x)).relu())))


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(1) == target).float().mean()


def make(method: str, logged: Logged, *callbacks: Callback) -> OneShotTrainer:
    inputs = torch.randn(48, 4, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(inputs, (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0).long())
    task = Task(
        model=lambda: Net(sized=method != "fairnas"),
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
        schedule=lambda optimizer, steps: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps),
        train_data=data,
        valid_data=data,
        batch_size=12,
    )
    train = TrainOptions(epochs=3, seed=4, accumulate=2, log_every=1, validate_every=1)
    hooks = TrainHooks(log=lambda done, steps, figures: logged.setdefault(done, {}).update(figures), callbacks=callbacks)
    trainer = make_trainer(TrainingJob(task, train, method=method, method_options=OPTIONS[method]), World(), hooks)
    assert isinstance(trainer, OneShotTrainer)
    return trainer


class Stopped(Exception):
    """Training was killed."""


class StopAfter(Callback):
    """Keeps what a checkpoint keeps after some steps, and goes no further."""

    def __init__(self, steps: int, path: Path) -> None:
        self.steps, self.path = steps, path

    def on_step_end(self, trainer: Any, loss: Tensor) -> None:
        if trainer.steps_done == self.steps + 1:
            raise Stopped
        if trainer.steps_done == self.steps:
            torch.save({"trainer": trainer.state_dict(), "worker": trainer.worker_state_dict()}, self.path)


@pytest.mark.parametrize("steps", [3, 6, 8])
@pytest.mark.parametrize("method", OPTIONS)
def test_what_is_resumed_ends_with_the_same_bits(method: str, steps: int, tmp_path: Path) -> None:
    undisturbed: Logged = {}
    logged: Logged = {}
    whole = make(method, undisturbed)
    whole.train()
    with pytest.raises(Stopped):
        make(method, logged, StopAfter(steps, tmp_path / "state.pt")).train()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.manual_seed(123)  # another process
    resumed = make(method, logged)
    resumed.load_state_dict(state["trainer"])
    resumed.load_worker_state_dict(state["worker"])
    resumed.train()
    assert logged == undisturbed
    assert state_digest(resumed.model.state_dict()) == state_digest(whole.model.state_dict())
    assert state_digest(resumed.mutator.state_dict()) == state_digest(whole.mutator.state_dict())
    assert len(undisturbed) == 12
    if method == "enas":
        assert all("controller/baseline" in undisturbed[step] for step in range(2, 13))
        changed = {undisturbed[step]["controller/baseline"] for step in range(2, 13)}
        assert len(changed) == 6
