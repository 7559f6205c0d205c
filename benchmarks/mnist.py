"""NAS-Bench-Macro's space on 10,000 images of MNIST: the task that ``benchmarks/ranking.py`` trains. No training here."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import raynas
from raynas.errors import OptionError
from raynas.zoo import NasBenchMacro

NUM_TRAIN, NUM_VALID = 8_000, 2_000
STAGES, HEAD, STEM = (4, 8, 16), 32, 4  # a sixteenth of the benchmark's channels: a path's step takes 60 ms on one core


def data_folder(given: Path | None = None) -> Path:
    """Where the data sets are: as given, or ``RAYNAS_DATA``, or ``../shared/data``."""
    return given or Path(os.environ.get("RAYNAS_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def read_images(
    folder: Path, num_train: int = NUM_TRAIN, num_valid: int = NUM_VALID, *, seed: int = 0
) -> tuple[TensorDataset, TensorDataset]:
    """Images for training and for validation, drawn from MNIST's training images without replacement.

    Shapes:
        Images (number, 1, 28, 28), of mean 0 and standard deviation 1 over those for training; labels (number,), int64.

    Raises:
        OptionError: the file is absent.
    """
    path = folder / "mnist.npz"
    if not path.is_file():
        raise OptionError(f"{path} is absent; say where it is with --data or RAYNAS_DATA")
    with np.load(path) as arrays:
        order = np.random.default_rng(seed).permutation(len(arrays["y_train"]))[: num_train + num_valid]
        images = torch.tensor(arrays["x_train"][order], dtype=torch.float32).unsqueeze(1)
        labels = torch.tensor(arrays["y_train"][order], dtype=torch.int64)
    images = (images - images[:num_train].mean()) / images[:num_train].std()
    return TensorDataset(images[:num_train], labels[:num_train]), TensorDataset(images[num_train:], labels[num_train:])


def make_task(train_data: TensorDataset, valid_data: TensorDataset) -> raynas.Task:
    """What an architecture, or the supernet, is to learn."""
    return raynas.Task(
        model=partial(NasBenchMacro, 10, STAGES, HEAD, stem_channels=STEM, in_channels=1),
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-2, weight_decay=1e-2),
        schedule=lambda optimizer, steps: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps),
        train_data=train_data,
        valid_data=valid_data,
        batch_size=64,
    )


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(1) == target).float().mean()
