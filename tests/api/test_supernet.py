import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import raynas
from raynas.errors import ModelError, OptionError, RunExistsError, TaskError, TrainingError
from raynas.nn import LayerChoice
from raynas.oneshot import CheckpointStore
from raynas.storage import Storage


def test_equal_seeds_give_equal_weights_and_events_are_written(tiny_task: raynas.Task, tmp_path: Path) -> None:
    digests = []
    for name in ("supernet-a", "supernet-b"):
        trained = raynas.train_supernet(tiny_task, epochs=3, storage_path=tmp_path, name=name, seed=4)
        assert trained.num_steps == 12
        assert list((trained.folder / "tensorboard").rglob("events.*"))
        digests.append(sorted(path.name for path in (trained.folder / "weights" / "shards").iterdir()))
    assert digests[0] == digests[1]


def test_it_goes_on_from_its_last_checkpoint_exactly(tiny_task: raynas.Task, tmp_path: Path) -> None:
    often = raynas.TrainOptions(epochs=12, checkpoint_every=10, log_every=4)
    whole = raynas.train_supernet(tiny_task, options=often, storage_path=tmp_path, name="supernet-whole")
    seen: list[int] = []

    def interrupt(step: int, *_: object) -> None:
        seen.append(step)
        if step >= 44:  # in epoch 11
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        raynas.train_supernet(tiny_task, options=often, storage_path=tmp_path, name="supernet-cut", on_progress=interrupt)
    newest = CheckpointStore(Storage(tmp_path / "supernet-cut" / "checkpoints" / "supernet")).newest()
    assert newest is not None
    assert newest.place.endswith("/000001-000000040")
    seen.clear()
    resumed = raynas.train_supernet(
        tiny_task,
        options=often,
        storage_path=tmp_path,
        name="supernet-cut",
        resume=True,
        on_progress=lambda step, *_: seen.append(step),
    )
    assert min(seen) == 44
    files = [sorted(path.name for path in (run.folder / "weights" / "shards").iterdir()) for run in (whole, resumed)]
    assert files[0] == files[1]
    lines = [(run.folder / "supernet.jsonl").read_text() for run in (whole, resumed)]
    assert lines[0] == lines[1]
    assert [json.loads(line)["step"] for line in lines[0].splitlines()] == list(range(4, 49, 4))


@pytest.mark.parametrize("method", ["enas", "darts", "gdas", "proxyless", "drnas"])
def test_what_a_method_learns_is_kept_step_by_step(tiny_task: raynas.Task, tmp_path: Path, method: str) -> None:
    options = raynas.TrainOptions(epochs=2, log_every=3, validate_every=1)
    trained = raynas.train_supernet(tiny_task, method=method, options=options, storage_path=tmp_path, name=f"signal-{method}")
    rows = [json.loads(line) for line in (trained.folder / "supernet.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [3, 4, 6, 8, 8]
    assert [row["valid_accuracy"] for row in rows if "loss" not in row] == [
        rows[1]["valid_accuracy"],
        rows[4]["valid_accuracy"],
    ]
    space = raynas.generate_search_space(tiny_task.model())
    assert trained.architecture is not None
    for key, domain in space.items():
        likely = [rows[3][f"alpha/{key}/{label}"] for label in domain.labels]
        assert sum(likely) == pytest.approx(1, abs=1e-5)
        assert trained.architecture.indices[key] == (likely.index(max(likely)),)
    assert ("controller/reward" if method == "enas" else "entropy") in rows[3]


def test_what_cannot_be_trained_is_refused_before_anything_is_written(tiny_task: raynas.Task, tmp_path: Path) -> None:
    plain = dataclasses.replace(tiny_task, model=lambda: nn.Linear(8, 3))
    with pytest.raises(ModelError, match="nothing to search"):
        raynas.train_supernet(plain, storage_path=tmp_path)

    class Clash(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = LayerChoice({"x": nn.Identity()}, key="op")
            self.b = LayerChoice({"y": nn.Identity()}, key="op")

    with pytest.raises(ModelError, match=r"'op' is used twice.*\['x'\] and \['y'\]"):
        raynas.train_supernet(dataclasses.replace(tiny_task, model=Clash), storage_path=tmp_path)
    with pytest.raises(OptionError, match="spos"):
        raynas.train_supernet(tiny_task, method="sops", storage_path=tmp_path)
    for num_workers in (-1, True, 1.5, (0, 2), (3, 2), (1, 2, 3), "2"):
        with pytest.raises(OptionError, match="num_workers"):
            raynas.train_supernet(tiny_task, num_workers=num_workers, storage_path=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="wait is 0"):
        raynas.train_supernet(tiny_task, num_workers=1, wait=0, storage_path=tmp_path)
    assert not list(tmp_path.iterdir())


def test_short_data_and_a_loss_that_is_not_finite_are_named(tiny_task: raynas.Task, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="128 samples, fewer than one batch of 500"):
        raynas.train_supernet(dataclasses.replace(tiny_task, batch_size=500), storage_path=tmp_path, name="a")

    def broken(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(output, target) * float("nan")

    with pytest.raises(TrainingError, match=r"loss is nan.*on the path"):
        raynas.train_supernet(dataclasses.replace(tiny_task, loss=broken), epochs=5, storage_path=tmp_path, name="b")


def test_a_run_that_is_there_is_refused(tiny_task: raynas.Task, tmp_path: Path) -> None:
    raynas.train_supernet(tiny_task, epochs=1, storage_path=tmp_path, name="supernet-twice")
    with pytest.raises(RunExistsError):
        raynas.train_supernet(tiny_task, epochs=1, storage_path=tmp_path, name="supernet-twice")


def test_a_method_that_learns_an_architecture_gives_it_back(tiny_task: raynas.Task, tmp_path: Path) -> None:
    trained = raynas.train_supernet(
        tiny_task, method="darts", method_options={"arch_lr": 0.1}, epochs=2, storage_path=tmp_path, name="supernet-darts"
    )
    assert trained.architecture is not None
    assert raynas.generate_search_space(tiny_task.model()).contains(trained.architecture)
    plain = raynas.train_supernet(tiny_task, epochs=1, storage_path=tmp_path, name="supernet-spos")
    assert plain.architecture is None
    with pytest.raises(OptionError, match=r"'darts' has no option 'ordre'; it has .*order"):
        raynas.train_supernet(tiny_task, method="darts", method_options={"ordre": 2}, storage_path=tmp_path, name="typo")


def test_options_say_how_and_callbacks_and_versions_come_on_the_way(tiny_task: raynas.Task, tmp_path: Path) -> None:
    class Stop(raynas.Callback):
        def on_epoch_end(self, trainer: Any) -> None:
            assert trainer.figures["accuracy"] >= 0
            if trainer.epoch == 2:
                trainer.stop()

    options = raynas.TrainOptions(epochs=9, seed=3, publish_every=3, validate_every=1)
    trained = raynas.train_supernet(
        tiny_task, options=options, callbacks=[Stop()], storage_path=tmp_path, name="supernet-hooks"
    )
    assert trained.num_steps == 8  # two epochs of four
    assert trained.version == 3  # after steps 3 and 6, and at the end
    longer = raynas.train_supernet(tiny_task, options=options, epochs=1, storage_path=tmp_path, name="supernet-over")
    assert longer.num_steps == 4
