"""A training that can be disturbed: what its tests and their child processes share. No test in here."""

import functools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import raynas
from raynas.oneshot import Trainer, TrainingJob, TrainOptions
from raynas.runtime.train_driver import TrainDriverOptions, train_on_ray

EPOCHS, STEPS = 12, 48


def options_for(folder: Path, num_workers: int | tuple[int, int] = 2, **changed: Any) -> TrainDriverOptions:
    return TrainDriverOptions(num_workers, False, folder, "supernet", **changed)


def disturbed_loss(folder: Path, seconds: float, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The loss; leaves this worker's process id where a test finds it, and takes its time."""
    (folder / f"pid-{os.environ.get('RANK', '0')}").write_text(str(os.getpid()))
    time.sleep(seconds)
    return nn.functional.cross_entropy(output, target)


def train(
    task: raynas.Task,
    folder: Path,
    *,
    on_progress: Callable[..., None] | None = None,
    seconds: float = 0.0,
    checkpoint_every: int = 5,
    **changed: Any,
) -> dict[str, Any]:
    """Train, slowly if wanted; gives the weights as lists and the losses by step, the last word on each."""
    folder.mkdir(parents=True, exist_ok=True)
    loss = functools.partial(disturbed_loss, folder, seconds)
    options = TrainOptions(epochs=EPOCHS, seed=3, log_every=1, checkpoint_every=checkpoint_every)
    job = TrainingJob(raynas.Task(**{**vars(task), "loss": loss}), options, method="spos")
    finished, _ = train_on_ray(job, Figures(), options_for(folder, **changed), on_progress=on_progress)
    return finished


class Figures:
    """What is compared: all weights and running statistics, bit for bit."""

    def __call__(self, trainer: Trainer) -> dict[str, Any]:
        tensors = trainer.model.state_dict()
        return {name: json.dumps(tensor.double().tolist()) for name, tensor in tensors.items()}
