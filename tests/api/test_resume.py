"""The driver is killed, really, at moments of no one's choosing; the search goes on as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray

import raynas
from raynas.explore.journal import read_events
from raynas.report import write_report

NUM_TRIALS = 60
SPACE = raynas.SearchSpace({f"k{i}": {"_type": "choice", "_value": [0, 1, 2]} for i in range(6)})
DRIVER = """
import sys, time
import raynas
from tests.api.test_resume import SPACE, NUM_TRIALS, value

engine, storage, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])

def evaluate(trial):
    time.sleep(seconds)
    trial.report(accuracy=value(trial.architecture))
    with open(f"{storage}/evaluated", "a") as file:
        file.write(f"{trial.id}\\n")

raynas.search(SPACE, evaluate, searcher="regularized_evolution", searcher_options={"population_size": 10, "sample_size": 3},
              num_trials=NUM_TRIALS, max_concurrent=1, engine=engine, storage_path=storage, resume=True)
"""


def value(architecture: raynas.Architecture) -> float:
    """A value in [0, 1) that depends on the architecture alone."""
    return int(architecture.digest[:8], 16) / 2**32


def _evaluate(trial: raynas.Trial) -> None:
    trial.report(accuracy=value(trial.architecture))


@pytest.fixture(scope="module")
def undisturbed() -> list[str]:
    """The digests of all proposals of a search that nobody disturbs."""
    options = {"population_size": 10, "sample_size": 3}
    return [
        record.architecture.digest
        for record in raynas.search(
            SPACE,
            _evaluate,
            searcher="regularized_evolution",
            searcher_options=options,
            num_trials=NUM_TRIALS,
            max_concurrent=1,
            engine="local",
        ).records.values()
    ]


class Driver:
    """A search in a process of its own."""

    def __init__(self, engine: str, storage: Path, seconds: float) -> None:
        root = Path(__file__).resolve().parents[2]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        if engine == "tune":
            environment["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
        arguments = [sys.executable, "-c", DRIVER, engine, str(storage), str(seconds)]
        self.storage, self.journal = storage, storage / "search" / "journal"
        self.process = subprocess.Popen(arguments, env=environment, cwd=root, stderr=subprocess.PIPE, text=True)

    def kill_after(self, num_finished: int, seconds: float) -> tuple[list[int], int]:
        """``kill -9``, so many seconds after so many trials have finished.

        Returns:
            The trials that have finished, and how many evaluations there were until now.
        """
        while self.process.poll() is None and len(finished(self.journal)) < num_finished:
            time.sleep(0.01)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()
        return finished(self.journal), len(_evaluated(self.storage))

    def wait(self) -> None:
        """Until it ends well."""
        _, errors = self.process.communicate(timeout=100)
        assert self.process.returncode == 0, errors


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
        driver = Driver("local", tmp_path, 0.005)
        before.append(driver.kill_after(5 * life + 1, rng.random() * 0.02))
    assert 10 <= len(before[-1][0]) < NUM_TRIALS
    assert write_report(tmp_path / "search").is_file()
    Driver("local", tmp_path, 0.0).wait()
    _check(tmp_path, undisturbed, before)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_killed_twice_through_tune(tmp_path: Path, undisturbed: list[str]) -> None:
    rng, before = random.Random(6), []
    for life in range(2):
        driver = Driver("tune", tmp_path, 0.01)
        before.append(driver.kill_after(15 * life + 5, rng.random() * 0.2))
    assert len(before[-1][0]) < NUM_TRIALS
    Driver("tune", tmp_path, 0.0).wait()
    _check(tmp_path, undisturbed, before)
