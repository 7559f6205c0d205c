"""Runs on three hosts, some of which go, and come back."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cluster.hosts import ROOT, Hosts
from tests.whole_run import assert_is_whole, assert_nothing_holds_a_secret

pytestmark = [pytest.mark.ray, pytest.mark.cluster, pytest.mark.timeout(900)]
SMALL = ["--supernet-epochs", "1", "--num-trials", "30", "--retrain-epochs", "1", "--num-random", "1"]


def wait_for(what: Callable[[], bool], search: subprocess.Popen[bytes], log: Path, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert search.poll() is None, f"it ended: {log.read_text()}"
        assert time.monotonic() < deadline, f"it did not come: {log.read_text()}"
        time.sleep(0.1)


def ran(folder: Path) -> list[str]:
    """Hosts of the trials that have run, in their order."""
    path = folder / "ran"
    return [line.split()[1] for line in path.read_text().splitlines() if line.count(" ") == 1] if path.exists() else []


class Search:
    """``search_program`` on the head."""

    def __init__(self, hosts: Hosts, what: str, folder: Path, num_trials: int) -> None:
        self.folder, self.num_trials, self.name, self.log = folder, num_trials, what, folder / "log"
        command = [sys.executable, "-m", "tests.cluster.search_program", what, str(folder), str(num_trials)]
        self.process = hosts.begin(0, *command, log=self.log)

    def wait_for(self, what: Callable[[], bool], seconds: float = 300) -> None:
        wait_for(what, self.process, self.log, seconds)

    def assert_ends(self, seconds: float = 300) -> None:
        """Every trial is there exactly once, and is completed."""
        assert self.process.wait(seconds) == 0, self.log.read_text()
        figures = json.loads((self.folder / "figures.json").read_text())
        assert figures == {"ids": list(range(self.num_trials)), "states": ["completed"]}


def test_a_whole_run_uses_all_hosts(three_hosts: Hosts, tmp_path: Path) -> None:
    command = ["raynas", "run", str(ROOT / "examples" / "digits.py"), "--address", "auto", "--storage", str(tmp_path)]
    ended = three_hosts.run(0, *command, "--name", "run", *SMALL)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    trials = pq.read_table(tmp_path / "run" / "trials.parquet")
    assert set(trials.column("state").to_pylist()) == {"completed"}
    assert set(trials.column("node").to_pylist()) == {"raynas-0", "raynas-1", "raynas-2"}
    assert_is_whole(tmp_path / "run", 30)
    assert_nothing_holds_a_secret(tmp_path, ended.stdout, ended.stderr, secrets=[(three_hosts.folder / "token").read_text()])


def test_a_host_that_is_cut_off_and_comes_back_loses_nothing(three_hosts: Hosts, tmp_path: Path) -> None:
    search = Search(three_hosts, "sleep", tmp_path, 150)
    search.wait_for(lambda: "raynas-2" in ran(tmp_path)[10:])
    three_hosts.say("cut", "2")
    cut = len(ran(tmp_path))
    search.wait_for(lambda: len(ran(tmp_path)) > cut + 20)
    three_hosts.say("mend", "2")
    search.wait_for(lambda: "raynas-2" in ran(tmp_path)[cut + 20 :])
    (tmp_path / "hurry").touch()
    search.assert_ends()
    assert Counter(ran(tmp_path))["raynas-0"] > 0


def test_the_host_with_the_weights_is_lost_and_they_are_read_from_the_mirror(three_hosts: Hosts, tmp_path: Path) -> None:
    search = Search(three_hosts, "inherit", tmp_path, 60)
    search.wait_for(lambda: len(ran(tmp_path)) > 15)
    three_hosts.say("kill", "2")
    lost = len(ran(tmp_path))
    search.wait_for(lambda: len(ran(tmp_path)) > lost + 5)
    (tmp_path / "hurry").touch()
    search.assert_ends()
    three_hosts.say("start", "2")
