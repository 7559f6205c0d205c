"""Hosts go for good, come back, and join; links are slow."""

import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cluster.conftest import some_hosts
from tests.cluster.hosts import ROOT, Hosts
from tests.cluster.test_three_hosts import Search, ran, wait_for
from tests.runtime.train_program import STEPS, read_progress

pytestmark = [pytest.mark.ray, pytest.mark.cluster, pytest.mark.nightly, pytest.mark.timeout(900)]


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """Three of one CPU each, which a test may lose."""
    with some_hosts("--hosts", "3") as started:
        yield started


class Training:
    """``train_program`` on the head."""

    def __init__(self, hosts: Hosts, folder: Path, num_workers: str, seconds: float) -> None:
        self.folder, self.log = folder, folder.parent / f"{folder.name}.log"
        folder.mkdir()
        command = [sys.executable, "-m", "tests.runtime.train_program", str(folder), str(seconds), num_workers]
        self.process = hosts.begin(0, *command, log=self.log)

    def wait_for_steps(self, number: int) -> None:
        wait_for(lambda: len(read_progress(self.folder)) >= number, self.process, self.log, 300)

    def num_workers(self) -> str:
        path = self.folder / "num_workers"
        return path.read_text() if path.exists() else ""

    def weights(self) -> dict[str, str]:
        assert self.process.wait(400) == 0, self.log.read_text()
        found: dict[str, str] = json.loads((self.folder / "result.json").read_text())
        return found


def test_training_goes_on_with_the_hosts_that_are_left(hosts: Hosts, tmp_path: Path) -> None:
    training = Training(hosts, tmp_path / "run", "1,3", 0.5)
    training.wait_for_steps(6)
    assert training.num_workers() == "3"
    hosts.say("kill", "2")
    lost = len(read_progress(training.folder))
    training.wait_for_steps(lost + 4)
    assert training.num_workers() == "2"
    training.weights()
    steps = [step for step, *_ in read_progress(training.folder)]
    assert steps[-1] == STEPS
    again = [step for before, step in itertools.pairwise(steps) if step <= before]
    assert len(again) <= 1, "only what followed the last checkpoint was done again"
    assert set(steps) == set(range(1, STEPS + 1))


def test_a_fixed_number_waits_for_a_host_and_ends_with_the_same_weights(hosts: Hosts, tmp_path: Path) -> None:
    undisturbed = Training(hosts, tmp_path / "undisturbed", "3", 0.0).weights()
    training = Training(hosts, tmp_path / "disturbed", "3", 0.3)
    training.wait_for_steps(6)
    hosts.say("kill", "2")
    time.sleep(15)
    before = len(read_progress(training.folder))
    time.sleep(5)
    assert len(read_progress(training.folder)) == before, "it waits"
    hosts.say("start", "2")
    assert training.weights() == undisturbed
    assert training.num_workers() == "3"


def test_a_killed_driver_is_resumed_from_another_host(hosts: Hosts, tmp_path: Path) -> None:
    digits = str(ROOT / "examples" / "digits.py")
    options = [
        "--num-workers",
        "2",
        "--supernet-epochs",
        "4",
        "--num-trials",
        "200",
        "--retrain-epochs",
        "1",
        "--num-random",
        "1",
    ]
    command = ["raynas", "run", digits, "--address", "auto", "--storage", str(tmp_path), "--name", "run", *options]
    log, journal = tmp_path / "log", tmp_path / "run" / "journal"
    process = hosts.begin(0, *command, log=log)

    def has_begun() -> bool:
        return sum(path.read_text().count('"finished"') for path in journal.glob("*.jsonl")) > 20

    wait_for(has_begun, process, log, 300)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    resumed = hosts.run(1, "raynas", "resume", str(tmp_path / "run"), "--address", "auto", seconds=400)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "supernet " not in resumed.stdout.split("search")[0], "what is done is not done again"
    trials = pq.read_table(tmp_path / "run" / "trials.parquet")
    assert trials.column("id").to_pylist() == list(range(len(trials)))
    states = trials.column("state").to_pylist()
    assert states.count("completed") == 200
    assert set(states) <= {"completed", "reused"}
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_host_that_joins_gets_work_at_once(hosts: Hosts, tmp_path: Path) -> None:
    search = Search(hosts, "sleep", tmp_path, 400)
    search.wait_for(lambda: len(ran(tmp_path)) > 10)
    joined = int(hosts.say("add"))
    ready = time.monotonic()
    search.wait_for(lambda: f"raynas-{joined}" in ran(tmp_path))
    seconds = time.monotonic() - ready
    print(f"a host that joined had ended a trial {seconds:.1f} s after it was ready")  # noqa: T201
    (tmp_path / "hurry").touch()
    search.assert_ends()
    assert seconds < 10


def test_a_slow_link_carries_what_takes_part(tmp_path: Path) -> None:
    with some_hosts("--hosts", "2", "--rate", "100mbit") as slow:
        python = ["env", "GLOO_SOCKET_IFNAME=eth0", "OMP_NUM_THREADS=1", sys.executable]
        worker = [*python, "benchmarks/supernet.py", "--worker", "communication"]
        numbers = [str(tmp_path), "2", "2"]
        other = slow.begin(1, *worker, "1", *numbers, log=tmp_path / "log")
        first = slow.run(0, *worker, "0", *numbers, seconds=600)
        assert first.returncode == 0, first.stderr
        assert other.wait(60) == 0, (tmp_path / "log").read_text()
        steps = json.loads((tmp_path / "figures.json").read_text())
        fetched = slow.run(0, *python, "-m", "tests.cluster.link_program", str(tmp_path))
        assert fetched.returncode == 0, fetched.stderr
        fetches = json.loads((tmp_path / "link.json").read_text())
    print(json.dumps({"steps at 100 Mbit/s": steps, "fetches at 100 Mbit/s": fetches}))  # noqa: T201
    assert steps["raynas_ms"] < steps["ddp_ms"] / 2
    assert fetches["fetch_path_ms"] < fetches["fetch_whole_ms"]
