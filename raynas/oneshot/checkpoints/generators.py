"""The generators of a worker: PyTorch's, Python's and NumPy's, as what a checkpoint may hold."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed_worker(seed: int, rank: int) -> None:
    """Another stream for each worker, for dropout and whatever the task draws."""
    mixed = seed * 1_000 + 1 + rank
    torch.manual_seed(mixed)
    random.seed(mixed)
    np.random.seed(mixed % 2**32)  # the one that a user's data set may draw from


def generators_state(device: torch.device) -> dict[str, Any]:
    """Where the generators of this process stand; plain numbers and tensors."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "python": [version, list(numbers), gauss],
        "numpy": [name, [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
    }


def restore_generators(state: dict[str, Any], device: torch.device) -> None:
    """Go on from there."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
