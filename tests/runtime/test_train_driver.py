import dataclasses
import os
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import raynas
from raynas.errors import OptionError, TrainingError
from raynas.oneshot import CheckpointStore, TrainOptions

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(180)]


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


def test_a_killed_worker_is_replaced_and_the_weights_are_those_of_an_undisturbed_run(
    tiny_task: raynas.Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raynas.api.supernet.TrainOptions", partial(TrainOptions, checkpoint_every=10))
    marker = tmp_path / "killed"
    runs, progress = [], list[tuple[int, int]]()
    for name, step in (("train-disturbed", 46), ("train-whole", -1)):
        task = dataclasses.replace(tiny_task, schedule=dying_schedule(marker, step))
        trained = raynas.train_supernet(
            task,
            num_workers=2,
            epochs=14,
            storage_path=tmp_path,
            name=name,
            on_progress=lambda done, total, _: progress.append((done, total)),
        )
        assert (trained.num_steps, trained.version) == (56, 1)
        assert trained.bytes_sent > 0
        assert list((trained.folder / "tensorboard" / "supernet").glob("events.*"))
        runs.append(shards(trained.folder))
        newest = CheckpointStore(trained.folder / "checkpoints" / "supernet").newest()
        assert newest is not None
        assert newest.name == ("000002-000000056" if step > 0 else "000001-000000056")  # it was begun again once
    assert marker.exists(), "no worker was killed: the test proves nothing"
    assert runs[0] == runs[1]
    assert progress
    assert all(total == 56 for _, total in progress)
    space = raynas.generate_search_space(tiny_task.model())
    result = raynas.search(space, raynas.inherited(tiny_task, registry="train-whole"), num_trials=4, engine="tune")
    assert set(result.best.metrics) == {"accuracy", "loss", "params", "flops"}


def test_an_error_of_the_task_comes_back_at_once_with_its_name(tiny_task: raynas.Task, tmp_path: Path) -> None:
    def broken(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if os.environ.get("RANK", "0") == "0":
            raise LookupError("no such class")
        return nn.functional.cross_entropy(output, target)

    with pytest.raises(TrainingError, match="LookupError: no such class"):
        raynas.train_supernet(
            dataclasses.replace(tiny_task, loss=broken), num_workers=2, epochs=1, storage_path=tmp_path, name="train-broken"
        )


def test_a_model_is_retrained_by_two_workers(tiny_task: raynas.Task) -> None:
    architecture = raynas.generate_search_space(tiny_task.model()).unrank(1)
    final = raynas.retrain(tiny_task, architecture, num_workers=2, epochs=30)
    assert final.split == "test"
    assert final.metrics["accuracy"] > 0.6


def test_workers_for_which_there_is_no_room_are_refused(tiny_task: raynas.Task, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="400 workers with 1 CPU each are wanted, the cluster has room for"):
        raynas.train_supernet(
            dataclasses.replace(tiny_task, batch_size=400), num_workers=400, storage_path=tmp_path, name="train-many"
        )
