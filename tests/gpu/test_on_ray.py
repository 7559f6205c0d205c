"""Workers of Ray on GPUs, one each: which backend they speak through, where they compute, what their trials see."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

import raynas
from tests.gpu.conftest import NEEDS_GPU

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(600)]


class Where(raynas.Callback):
    """Fails the training where workers are not where they should be."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def on_epoch_end(self, trainer: Any) -> None:
        assert dist.get_backend() == ("nccl" if self.device.type == "cuda" else "gloo")
        assert trainer.world.device.type == self.device.type
        assert {parameter.device.type for parameter in trainer.model.parameters()} == {self.device.type}


class Inheriting:
    """Fails trials that are not where they should be; else they inherit weights."""

    def __init__(self, task: raynas.Task, device: str) -> None:
        self.inherited, self.device = raynas.inherited(task, registry="on-ray"), device

    def setup(self) -> None:
        self.inherited.setup()
        assert self.inherited.device.type == self.device

    def evaluate(self, trial: raynas.Trial) -> None:
        self.inherited.evaluate(trial)


@pytest.mark.parametrize(
    "device",
    [pytest.param("cpu", marks=pytest.mark.nightly), pytest.param("cuda", marks=NEEDS_GPU)],
    indirect=True,
)
def test_a_supernet_is_trained_and_searched(device: torch.device, tiny_task: raynas.Task, tmp_path: Path) -> None:
    on_gpu = device.type == "cuda"
    trained = raynas.train_supernet(
        tiny_task,
        num_workers=min(2, torch.cuda.device_count()) if on_gpu else 2,
        use_gpu=on_gpu,
        options=raynas.TrainOptions(epochs=2, checkpoint_every=3, publish_every=5, validate_every=1),
        callbacks=[Where(device)],
        storage_path=tmp_path,
        name="on-ray",
    )
    assert (trained.num_steps, trained.version) == (8, 2)
    space = raynas.generate_search_space(tiny_task.model())
    asked = {"cpu": {"cpu": 1.0}, "cuda": {"gpu": 0.5}}
    for place in ("cpu", "cuda") if on_gpu else ("cpu",):
        evaluate = Inheriting(tiny_task, place)
        result = raynas.search(space, evaluate, num_trials=2, engine="tune", resources_per_trial=asked[place])
        assert result.trials.column("state").to_pylist() == ["completed"] * 2
