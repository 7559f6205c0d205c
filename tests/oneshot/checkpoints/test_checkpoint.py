"""Checkpoints: a run that goes on from one equals a run without a stop, bit for bit; damage is found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from raynas.errors import RunDamagedError
from raynas.oneshot import (
    Task,
    Trainer,
    TrainHooks,
    TrainingJob,
    TrainOptions,
    World,
    make_trainer,
    read_checkpoint,
    write_checkpoint,
)
from raynas.storage import Storage

MakeTask = Callable[..., Task]
JOBS: list[dict[str, Any]] = [{"method": "spos"}, {"architecture": {"op": {"_idx": 1}, "more": {"_idx": 0}}}]
SCHEDULES: dict[str, Any] = {
    "none": None,
    "cosine": lambda optimizer, steps: lr_scheduler.CosineAnnealingLR(optimizer, steps),
    "steps": lambda optimizer, steps: lr_scheduler.MultiStepLR(optimizer, [steps // 2, steps // 2 + 1]),
    "one cycle": lambda optimizer, steps: lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=steps + 1),
    "lambda": lambda optimizer, steps: lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps),
}


def make(task: Task, what: dict[str, Any], hooks: TrainHooks | None = None) -> Trainer:
    options = TrainOptions(epochs=4, seed=2, checkpoint_every=7)
    return make_trainer(TrainingJob(task, options, **what), World(), hooks or TrainHooks())


def write_at_half_time(task: Task, what: dict[str, Any], folder: Path) -> Trainer:
    """Train to the end, a checkpoint being written in between."""
    trainer = make(task, what, TrainHooks(save=lambda trainer: write_checkpoint(trainer, Storage(folder))))
    trainer.train()
    return trainer


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == other


@pytest.mark.parametrize("what", JOBS, ids=["supernet", "architecture"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_going_on_equals_never_having_stopped(make_task: MakeTask, tmp_path: Path, what: dict[str, Any], schedule: str) -> None:
    task = make_task(schedule=SCHEDULES[schedule])
    whole = write_at_half_time(task, what, tmp_path)
    again = make(task, what)
    fresh = {name: tensor.clone() for name, tensor in again.model.state_dict().items()}
    torch.manual_seed(77)  # what was drawn in the new process so far does not matter
    read_checkpoint(again, Storage(tmp_path))
    assert (again.epoch, again.step) == (2, 1)  # within an epoch of three steps
    assert not torch.equal(again.model.head.weight, fresh["head.weight"])
    again.train()
    assert_same(again.state_dict(), whole.state_dict())
    assert_same(again.worker_state_dict(), whole.worker_state_dict())


def test_each_worker_has_a_file_and_rank_0_the_trainers(task: Task, tmp_path: Path) -> None:
    trainer = make(task, JOBS[0])
    write_checkpoint(trainer, Storage(tmp_path / "new" / "folder"))
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["trainer.pt", "worker-0.pt"]


def test_statistics_are_each_workers_own(task: Task, tmp_path: Path) -> None:
    trainer = make(task, JOBS[0])
    write_checkpoint(trainer, Storage(tmp_path))
    own = torch.load(tmp_path / "worker-0.pt", weights_only=True)
    own["buffers"]["stem.1.running_mean"] += 5
    torch.save(own, tmp_path / "worker-0.pt")
    read_checkpoint(trainer, Storage(tmp_path))
    assert trainer.model.stem[1].running_mean.tolist() == [5] * 8


@pytest.mark.parametrize("name", ["trainer.pt", "worker-0.pt"])
def test_a_damaged_or_missing_file_is_named(task: Task, tmp_path: Path, name: str) -> None:
    trainer = make(task, JOBS[0])
    write_checkpoint(trainer, Storage(tmp_path))
    path = tmp_path / name
    content = path.read_bytes()
    for part in (b"", content[:1], content[:100], content[: len(content) // 2], content[:-1], b"garbage" * 50, b"\x80\x02."):
        path.write_bytes(part)
        with pytest.raises(RunDamagedError, match=f"{name} cannot be read"):
            read_checkpoint(trainer, Storage(tmp_path))
    path.unlink()
    with pytest.raises(RunDamagedError, match=f"{name} cannot be read"):
        read_checkpoint(trainer, Storage(tmp_path))


def test_a_file_that_would_run_code_is_refused(task: Task, tmp_path: Path) -> None:
    trainer = make(task, JOBS[0])
    write_checkpoint(trainer, Storage(tmp_path))
    torch.save({"model": Path("anything")}, tmp_path / "trainer.pt")
    with pytest.raises(RunDamagedError, match=r"trainer\.pt cannot be read"):
        read_checkpoint(trainer, Storage(tmp_path))
