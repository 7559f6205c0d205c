import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray
import torch
from torch import nn

import raynas
from raynas.errors import OptionError, TrainingError
from raynas.oneshot import CheckpointStore
from raynas.storage import Storage
from tests.runtime.train_program import STEPS, read_progress

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(400)]


def shards(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "weights" / "shards").iterdir())


def dying_schedule(marker: Path, step: int) -> object:
    """A schedule whose worker is killed when it makes the given step, once."""

    class Dying(torch.optim.lr_scheduler.LRScheduler):
        def get_lr(self) -> list[float | torch.Tensor]:
            if self.last_epoch == step and os.environ.get("RANK", "0") == "1" and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return list(self.base_lrs)

    return lambda optimizer, _: Dying(optimizer)


@pytest.mark.nightly
def test_a_killed_worker_is_replaced_and_the_weights_are_those_of_an_undisturbed_run(
    tiny_task: raynas.Task, tmp_path: Path
) -> None:
    marker = tmp_path / "killed"
    runs, progress = [], list[tuple[int, int]]()
    for name, step in (("train-disturbed", 46), ("train-whole", -1)):
        task = dataclasses.replace(tiny_task, schedule=dying_schedule(marker, step))
        trained = raynas.train_supernet(
            task,
            num_workers=2,
            options=raynas.TrainOptions(epochs=14, checkpoint_every=10),
            storage_path=tmp_path,
            name=name,
            on_progress=lambda done, total, _: progress.append((done, total)),
        )
        assert (trained.num_steps, trained.version) == (56, 1)
        assert trained.bytes_sent > 0
        assert list((trained.folder / "tensorboard" / "supernet").glob("events.*"))
        runs.append(shards(trained.folder))
        newest = CheckpointStore(Storage(trained.folder / "checkpoints" / "supernet")).newest()
        assert newest is not None
        assert newest.name == ("000002-000000056" if step > 0 else "000001-000000056")  # it was begun again once
    assert marker.exists(), "no worker was killed: the test proves nothing"
    assert runs[0] == runs[1]
    lines = [(tmp_path / name / "supernet.jsonl").read_text() for name in ("train-disturbed", "train-whole")]
    assert lines[0] == lines[1], "a row was lost, or came twice"
    assert lines[0].count("\n") == 3  # steps 20, 40 and 56
    assert progress
    assert all(total == 56 for _, total in progress)
    space = raynas.generate_search_space(tiny_task.model())
    result = raynas.search(space, raynas.inherited(tiny_task, registry="train-whole"), num_trials=4, engine="tune")
    assert set(result.best.metrics) == {"accuracy", "loss", "params", "flops"}


@pytest.mark.nightly
def test_an_error_of_the_task_comes_back_at_once_with_its_name(tiny_task: raynas.Task, tmp_path: Path) -> None:
    def broken(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if os.environ.get("RANK", "0") == "0":
            raise LookupError("no such class")
        return nn.functional.cross_entropy(output, target)

    with pytest.raises(TrainingError, match="LookupError: no such class"):
        raynas.train_supernet(
            dataclasses.replace(tiny_task, loss=broken), num_workers=2, epochs=1, storage_path=tmp_path, name="train-broken"
        )


@pytest.mark.nightly
def test_a_model_is_retrained_by_as_many_workers_as_fit(tiny_task: raynas.Task) -> None:
    architecture = raynas.generate_search_space(tiny_task.model()).unrank(1)
    final = raynas.retrain(tiny_task, architecture, num_workers=(1, 2), wait=60, epochs=30)
    assert final.split == "test"
    assert final.metrics["accuracy"] > 0.6


def test_workers_for_which_there_is_no_room_are_refused(tiny_task: raynas.Task, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="400 workers with 1 CPU each are wanted, the cluster has room for"):
        raynas.train_supernet(
            dataclasses.replace(tiny_task, batch_size=400), num_workers=400, storage_path=tmp_path, name="train-many"
        )


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_killed_driver_goes_on_from_its_last_whole_checkpoint(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "RAY_ADDRESS": ray.get_runtime_context().gcs_address}

    def start(folder: Path, seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.runtime.train_program", str(folder), str(seconds)]
        return subprocess.Popen(command, env=environment, cwd=root, stderr=subprocess.PIPE, text=True)

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    driver = start(cut, 0.3)
    while driver.poll() is None and not any(step >= 17 for step, *_ in read_progress(cut)):
        time.sleep(0.05)
    driver.kill()
    driver.communicate()
    done = read_progress(cut)
    assert done[-1][0] < STEPS
    store = CheckpointStore(Storage(cut / "checkpoints" / "supernet"))
    last = store.newest()
    assert last is not None
    half = store.folder_of(1, 47)  # a writer that was killed, and one of Train's own files, damaged
    half.mkdir()
    (half / "trainer.pt").write_bytes(b"half")
    (cut / ".ray" / "supernet-001" / "checkpoint_manager_snapshot.json").write_text('{"checkpoint_results": [')
    for folder in (cut, whole):
        driver = start(folder, 0.0)
        _, errors = driver.communicate(timeout=400)
        assert driver.returncode == 0, errors
    assert not half.exists()
    resumed = read_progress(cut)[len(done) :]
    assert int(last.name.partition("-")[2]) < resumed[0][0]
    assert (cut / "result.json").read_text() == (whole / "result.json").read_text()
    losses = {step: loss for step, loss, _ in read_progress(whole)}
    assert all(losses.get(step, loss) == loss for step, loss, _ in [*done, *resumed])
