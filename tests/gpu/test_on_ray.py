"""Workers of Ray on GPUs, one each: which backend they speak through, where they compute, what their trials see."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

import raynas
from tests.gpu.conftest import NEEDS_GPU

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(400)]


class Where(raynas.Callback):
    """Fails the training where workers are not where they should be."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def on_epoch_end(self, trainer: Any) -> None:
        assert dist.get_backend() == ("nccl" if self.device.type == "cuda" else "gloo")
        assert trainer.world.device.type == self.device.type
        assert {parameter.device.type for parameter in trainer.model.parameters()} == {self.device.type}


class Sees:
    """Tells whether a trial sees a GPU."""

    def evaluate(self, trial: raynas.Trial) -> None:
        trial.report(gpus=torch.cuda.device_count())


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
    resources = {"gpu": 0.5} if on_gpu else {"cpu": 1}
    evaluate = raynas.inherited(tiny_task, registry="on-ray")
    result = raynas.search(space, evaluate, num_trials=2, engine="tune", resources_per_trial=resources)
    assert result.trials.column("state").to_pylist() == ["completed"] * 2
    for asked, seen in (({"cpu": 1}, 0), (resources, int(on_gpu))):
        found = raynas.search(space, Sees(), metric="gpus", num_trials=1, engine="tune", resources_per_trial=asked)
        assert found.best.value == seen
