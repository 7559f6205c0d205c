"""A training that can be disturbed: what its tests share. Run as a program, this file is a driver that can be killed."""

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import raynas
from raynas.oneshot import Trainer, TrainingJob, TrainOptions
from raynas.runtime.train.train_driver import TrainDriverOptions, train_on_ray
from raynas.storage import Storage
from tests.conftest import TinyNet, accuracy, make_data

EPOCHS, STEPS = 12, 48


def options_for(folder: Path, num_workers: int | tuple[int, int] = 2, **changed: Any) -> TrainDriverOptions:
    return TrainDriverOptions(num_workers, False, folder, Storage(folder), "supernet", **changed)


def disturbed_loss(folder: Path, seconds: float, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The loss. Leaves this worker's process id and the number of workers where a test finds them, and takes its time; a
    worker that finds a file ``stuck-RANK`` takes all the time there is.
    """
    leave(str(os.getpid()), folder / f"pid-{os.environ['RANK']}")
    leave(os.environ["WORLD_SIZE"], folder / "num_workers")
    stuck = folder / f"stuck-{os.environ['RANK']}"
    if stuck.exists():
        if stuck.read_text() == "once":
            stuck.unlink()
        time.sleep(100_000)
    time.sleep(2 if (folder / "slow").exists() else seconds)
    return nn.functional.cross_entropy(output, target)


def leave(text: str, path: Path) -> None:
    """Write a file as a whole: it is read at any moment."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)


def train(
    task: raynas.Task,
    folder: Path,
    *,
    on_progress: Callable[..., None] | None = None,
    seconds: float = 0.0,
    checkpoint_every: int = 5,
    hang_timeout: float = 300.0,
    **changed: Any,
) -> dict[str, Any]:
    """Train, slowly if wanted; gives all weights and running statistics, as text that has every bit."""
    folder.mkdir(parents=True, exist_ok=True)
    loss = functools.partial(disturbed_loss, folder, seconds)
    options = TrainOptions(epochs=EPOCHS, seed=3, log_every=1, checkpoint_every=checkpoint_every, hang_timeout=hang_timeout)
    job = TrainingJob(raynas.Task(**{**vars(task), "loss": loss}), options, method="spos")
    finished, _ = train_on_ray(job, Figures(), options_for(folder, **changed), on_progress=on_progress)
    return finished


class Figures:
    """What training comes to."""

    def __call__(self, trainer: Trainer) -> dict[str, Any]:
        tensors = trainer.model.state_dict()
        return {name: json.dumps(tensor.double().tolist()) for name, tensor in tensors.items()}


def make_task() -> raynas.Task:
    """The task of the fixture ``tiny_task``."""
    return raynas.Task(
        model=TinyNet,
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
        train_data=make_data(128, 0),
        valid_data=make_data(64, 1),
        batch_size=32,
    )


def report(folder: Path, step: int, _: int, figures: dict[str, float]) -> None:
    """Leave how far training is."""
    with (folder / "progress").open("a") as file:
        file.write(json.dumps([step, figures["loss"], figures["learning_rate"]]) + "\n")


def read_progress(folder: Path) -> list[list[float]]:
    """Step, loss and learning rate, as they came."""
    path = folder / "progress"
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("]")] if path.exists() else []


if __name__ == "__main__":
    place = Path(sys.argv[1])
    numbers = tuple(map(int, sys.argv[3].split(","))) if len(sys.argv) > 3 else (2,)  # of workers: one, or least and most
    workers: Any = numbers if len(numbers) > 1 else numbers[0]
    shown = functools.partial(report, place)
    result = train(make_task(), place, on_progress=shown, seconds=float(sys.argv[2]), num_workers=workers, checkpoint_every=2)
    (place / "result.json").write_text(json.dumps(result))
