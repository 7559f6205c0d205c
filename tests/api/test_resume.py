"""The driver is killed, really, at moments of no one's choosing; the search goes on as if nothing had happened."""

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest
import ray

from raynas.explore.journal import read_events
from raynas.report import write_report

SCRIPT = Path(__file__).with_name("killed_search.py")


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


killed = _load(SCRIPT)
NUM_TRIALS = killed.NUM_TRIALS


@pytest.fixture(scope="module")
def undisturbed() -> list[str]:
    """The digests of all proposals of a search that nobody disturbs."""
    return [record.architecture.digest for record in killed.search("local").records.values()]


class Driver:
    """A search in a process of its own."""

    def __init__(self, engine: str, storage: Path, seconds: float, cpus: float = 1.0) -> None:
        environment = dict(os.environ)
        if engine != "local":
            environment["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
        arguments = [sys.executable, str(SCRIPT), engine, str(storage), str(seconds), str(cpus)]
        self.storage, self.journal = storage, storage / "search" / "journal"
        self.process = subprocess.Popen(arguments, env=environment)

    def kill_after(self, num_finished: int, seconds: float) -> tuple[list[int], int]:
        """``kill -9``, so many seconds after so many trials have finished.

        Returns:
            The trials that have finished, and how many evaluations there were until now.
        """
        while self.process.poll() is None and len(finished(self.journal)) < num_finished:
            time.sleep(0.01)
        time.sleep(seconds)
        assert self.process.poll() is None, "it ended by itself"
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        return finished(self.journal), len(_evaluated(self.storage))


def finished(journal: Path) -> list[int]:
    """The trials whose result is in the journal."""
    if not any(journal.glob("*.jsonl")):
        return []
    return [event["id"] for event in read_events(journal) if event["event"] == "finished"]


def _evaluated(storage: Path) -> list[int]:
    """The trials in the order in which their evaluations ended."""
    return [int(line) for line in (storage / "evaluated").read_text().split()]


def _check(storage: Path, undisturbed: list[str], before: list[tuple[list[int], int]]) -> None:
    table = pq.read_table(storage / "search" / "trials.parquet")
    assert table.column("digest").to_pylist() == undisturbed
    assert set(table.column("state").to_pylist()) <= {"completed", "reused"}
    assert table.column("state").to_pylist().count("completed") == NUM_TRIALS
    ran = _evaluated(storage)
    told = finished(storage / "search" / "journal")
    assert len(told) == len(set(told)) == NUM_TRIALS
    assert set(told) <= set(ran)
    for done, num_ran in before:
        assert not set(ran[num_ran:]) & set(done), "a trial that had finished was run again"


def test_killed_at_ten_moments_in_process(tmp_path: Path, undisturbed: list[str]) -> None:
    rng, before = random.Random(5), []
    for life in range(10):
        driver = Driver("local", tmp_path, 0.05)  # the kill may come a second late where the machine is busy
        before.append(driver.kill_after(4 * life + 1, rng.random() * 0.1))
    assert 10 <= len(before[-1][0]) < NUM_TRIALS
    assert write_report(tmp_path / "search").is_file()
    killed.search("local", str(tmp_path), "0", "1")
    _check(tmp_path, undisturbed, before)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("engine", [pytest.param("tune", marks=pytest.mark.nightly), "pool"])
def test_killed_twice_under_ray(tmp_path: Path, undisturbed: list[str], engine: str) -> None:
    rng, before = random.Random(6), []
    cpus = ray.cluster_resources()["CPU"]  # where room is left, Tune starts workers that quick trials never need
    for life in range(2):
        driver = Driver(engine, tmp_path, 0.03, cpus)
        before.append(driver.kill_after(15 * life + 5, rng.random() * 0.2))
    assert len(before[-1][0]) < NUM_TRIALS
    killed.search(engine, str(tmp_path), "0", str(cpus))
    _check(tmp_path, undisturbed, before)
