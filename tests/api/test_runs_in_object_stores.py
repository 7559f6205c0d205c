"""Searches and supernets whose run is kept in an object store: drivers die, nothing that counts is lost."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import raynas
from raynas.errors import OptionError
from raynas.storage import Storage

NUM_TRIALS = 60
SEARCH = """
import sys, time, raynas

def evaluate(trial):
    time.sleep(float(sys.argv[2]))
    trial.report(accuracy=int(trial.architecture.digest[:8], 16) / 2**32)

space = raynas.SearchSpace({f"k{i}": {"_type": "choice", "_value": [0, 1, 2]} for i in range(6)})
raynas.search(space, evaluate, num_trials=60, engine="local", storage_path=sys.argv[1], resume=True)
"""


def test_a_search_whose_driver_dies_goes_on_elsewhere(s3: Callable[[], str]) -> None:
    runs = Storage(s3())
    command, journal = [sys.executable, "-c", SEARCH, runs.place], "search/journal/000001.open.jsonl"
    driver = subprocess.Popen([*command, "0.2"])
    deadline = time.monotonic() + 60
    while not (runs.exists(journal) and b'"finished"' in runs.read(journal)):
        assert time.monotonic() < deadline
        assert driver.poll() is None
        time.sleep(0.1)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert subprocess.run([*command, "0"], timeout=100).returncode == 0
    folder = raynas.RunFolder.open(runs.folder("search").place)
    trials = pq.read_table(folder.trials).to_pylist()
    assert [row["id"] for row in trials] == list(range(NUM_TRIALS))
    assert {row["state"] for row in trials} == {"completed"}
    assert folder.read_result()["num_trials"] == NUM_TRIALS
    assert not [name for name in folder.storage.names() if name.startswith("driver-")]


def test_a_supernet_goes_on_from_its_checkpoint_exactly(tiny_task: raynas.Task, s3: Callable[[], str], tmp_path: Path) -> None:
    often = raynas.TrainOptions(epochs=12, checkpoint_every=10, log_every=4)
    raynas.train_supernet(tiny_task, options=often, storage_path=tmp_path, name="whole-s3")
    runs = Storage(s3())

    def interrupt(step: int, *_: object) -> None:
        if step >= 44:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        raynas.train_supernet(tiny_task, options=often, storage_path=runs.place, name="cut", on_progress=interrupt)
    assert "000001-000000040" in runs.folders("cut/checkpoints/supernet")
    seen: list[int] = []
    resumed = raynas.train_supernet(
        tiny_task,
        options=often,
        storage_path=runs.place,
        name="cut",
        resume=True,
        on_progress=lambda step, *_: seen.append(step),
    )
    assert min(seen) == 44
    assert resumed.folder == runs.folder("cut").shown
    assert runs.names("cut/weights/shards") == Storage(tmp_path / "whole-s3").names("weights/shards")
    assert runs.read("cut/supernet.jsonl") == (tmp_path / "whole-s3" / "supernet.jsonl").read_bytes()
    assert runs.names("cut/tensorboard/supernet")


def test_a_trial_that_trains_keeps_its_weights_there(tiny_task: raynas.Task, s3: Callable[[], str]) -> None:
    runs, space = Storage(s3()), raynas.generate_search_space(tiny_task.model())
    evaluate = raynas.from_scratch(tiny_task, epochs=2)
    result = raynas.search(space, evaluate, num_trials=2, engine="local", storage_path=runs.place)
    assert result.folder == runs.path("search")
    assert runs.names("search/checkpoints") == ["00000.tar", "00001.tar"]
    known = raynas.search(space, evaluate, num_trials=1, engine="local", import_data=runs.folder("search").place)
    assert len(known.records) == 1


def test_a_search_that_is_refused_leaves_nothing(s3: Callable[[], str]) -> None:
    runs, space = Storage(s3()), raynas.SearchSpace({"width": {"_type": "choice", "_value": [1, 2]}})
    with pytest.raises(OptionError):
        raynas.search(space, print, num_trials=2, engine="local", trial_timeout=1.0, storage_path=runs.place)
    assert not runs.names("search")
    result = raynas.search(space, lambda trial: trial.report(accuracy=1), num_trials=2, engine="local", storage_path=runs.place)
    assert len(result.records) == 2
