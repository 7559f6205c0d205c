"""From a machine that is no part of the cluster: submitted, watched, fetched, ended; and what ``doctor`` says."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.hosts import ROOT, Hosts

pytestmark = [pytest.mark.ray, pytest.mark.cluster, pytest.mark.nightly, pytest.mark.timeout(500)]
DASHBOARD = "http://10.77.0.1:8265"
TINY = ["--num-workers", "0", "--supernet-epochs", "1", "--num-trials", "6", "--retrain-epochs", "1", "--num-random", "0"]


class Laptop:
    """Runs ``raynas`` outside of the hosts, with their token."""

    def __init__(self, hosts: Hosts, folder: Path, token: str | None = None) -> None:
        self.folder = folder
        self.env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token or (hosts.folder / "token").read_text()}
        self.env.pop("RAY_ADDRESS", None)

    def raynas(self, *words: str, address: bool = True) -> subprocess.CompletedProcess[str]:
        where = ["--address", DASHBOARD] if address else []
        program = [sys.executable, "-c", "from raynas.cli import main; main()", *words, *where]
        return subprocess.run(program, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=300)


def test_a_run_is_submitted_followed_and_fetched(three_hosts: Hosts, tmp_path: Path) -> None:
    laptop, storage = Laptop(three_hosts, tmp_path), tmp_path / "shared"
    storage.mkdir()
    task = tmp_path / "task"
    task.mkdir()
    (task / "beside.py").write_text("SCALE = 16\n")
    text = (ROOT / "examples" / "digits.py").read_text()
    (task / "digits.py").write_text(text.replace("import raynas\n", "import raynas\nimport beside\n", 1))
    ended = laptop.raynas("submit", "task/digits.py", "--storage", str(storage), "--name", "job", "--follow", *TINY)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "test accuracy, retrained" in ended.stdout
    again = laptop.raynas("submit", "task/digits.py", "--storage", str(storage), "--name", "job")
    assert (again.returncode, "has a job 'job' already" in again.stderr) == (2, True)
    assert "best architecture" in laptop.raynas("logs", "job").stdout
    fetched = laptop.raynas("download", str(storage / "job"))
    assert fetched.stdout.strip() == "runs/job", fetched.stderr
    for name in ("result.json", "report.html", "trials.parquet", "digits.py"):
        assert (tmp_path / "runs" / "job" / name).read_bytes() == (storage / "job" / name).read_bytes()
    assert not (tmp_path / "runs" / "job" / "weights").exists()
    missing = laptop.raynas("download", str(storage / "other"))
    assert (missing.returncode, "there is no run" in missing.stderr) == (2, True)
    token = (three_hosts.folder / "token").read_text()
    assert not any(token.encode() in path.read_bytes() for path in storage.rglob("*") if path.is_file())


def test_a_run_goes_on_alone_and_is_stopped(three_hosts: Hosts, tmp_path: Path) -> None:
    laptop = Laptop(three_hosts, tmp_path)
    (tmp_path / "shared").mkdir()
    digits = str(ROOT / "examples" / "digits.py")
    many = ["--num-trials", "5000", "--num-workers", "0", "--supernet-epochs", "1", "--engine", "local"]
    said = laptop.raynas("submit", digits, "--storage", str(tmp_path / "shared"), "--name", "long", "--json", *many)
    assert json.loads(said.stdout) == {"name": "long", "address": DASHBOARD}
    deadline = time.monotonic() + 60
    while "search" not in laptop.raynas("logs", "long").stdout:
        assert time.monotonic() < deadline
    assert laptop.raynas("stop", "long").stdout.strip() == "long is stopped"
    assert laptop.raynas("stop", "long").stdout.strip() == "long was not running"
    unknown = laptop.raynas("stop", "other")
    assert (unknown.returncode, "has no job 'other'; it has" in unknown.stderr) == (2, True)
    stranger = Laptop(three_hosts, tmp_path, token="wrong" * 8)
    assert stranger.raynas("logs", "long").returncode == 2


def test_a_folder_that_not_all_hosts_see_is_refused(three_hosts: Hosts) -> None:
    digits = str(ROOT / "examples" / "digits.py")
    refused = three_hosts.run(0, "raynas", "run", digits, "--address", "auto", "--storage", "/tmp/ray/mine", *TINY)
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "is not on raynas-1 (10.77.0.2), raynas-2 (10.77.0.3)" in refused.stderr
    assert "--allow-local" in refused.stderr


def test_doctor_looks_at_every_host(three_hosts: Hosts, tmp_path: Path) -> None:
    digits = str(ROOT / "examples" / "digits.py")
    said = three_hosts.run(0, "raynas", "doctor", digits, "--address", "auto", "--storage", str(tmp_path), "--json")
    findings = json.loads(said.stdout)
    checks = {(each["check"], each["where"].split()[0]) for each in findings}
    hosts = {"raynas-0", "raynas-1", "raynas-2"}
    for check in ("versions", "object store", "disk", "GPUs", "names", "storage", "clock"):
        assert {where for name, where in checks if name == check} == hosts
    assert {where for name, where in checks if name == "bandwidth"} == {"raynas-1", "raynas-2"}
    wrong = [each for each in findings if each["advice"]]
    assert said.returncode == (1 if wrong else 0)
    assert not [each for each in wrong if each["check"] not in ("disk", "bandwidth")], wrong
