"""Generators of a worker: kept, restored, and different for each worker."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raynas.oneshot.checkpoints.generators import generators_state, restore_generators, seed_worker

CPU = torch.device("cpu")


def draw() -> list[Any]:
    return [torch.rand(3).tolist(), random.random(), random.gauss(0, 1), np.random.rand(3).tolist(), float(np.random.randn())]


@pytest.fixture(autouse=True)
def _leave_them_as_they_are() -> Any:
    state = generators_state(CPU)
    yield
    restore_generators(state, CPU)


def test_all_go_on_from_a_file(tmp_path: Path) -> None:
    seed_worker(3, 1)
    draw()  # the second number of a pair of normal ones waits in each
    torch.save(generators_state(CPU), tmp_path / "state.pt")
    expected = [draw(), draw()]
    seed_worker(9, 9)
    restore_generators(torch.load(tmp_path / "state.pt", weights_only=True), CPU)
    assert [draw(), draw()] == expected


def test_seeds_and_workers_have_streams_of_their_own() -> None:
    drawn = []
    for seed, rank in ((0, 0), (0, 1), (1, 0), (0, 0)):
        seed_worker(seed, rank)
        drawn.append(draw())
    assert drawn[0] == drawn[3]
    assert all(drawn[0][place] != other[place] for other in drawn[1:3] for place in range(5))
