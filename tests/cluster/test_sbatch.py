"""What the batch script for Slurm does, with commands in place of Slurm's, Ray's and raynas' that write down their words."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SBATCH = Path(__file__).resolve().parents[2] / "cluster" / "slurm" / "raynas.sbatch"
STUBS = {
    "srun": 'case "$*" in *"ray start"*) exec sleep 60 ;; esac',
    "ray": 'if [ "$1" = get-auth-token ]; then mkdir -p "$HOME/.ray" && echo secret > "$HOME/.ray/auth_token"; fi',
    "raynas": """
        until [ "$(grep -c '^srun' "$CALLS")" -ge 2 ]; do sleep 0.05; done
        echo "address $RAY_ADDRESS $RAY_AUTH_MODE" >> "$CALLS"
        if [ -e "$HOME/slow" ]; then exec sleep 60; fi
        exit "$CODE"
    """,
    "scontrol": "",
}


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Starts the script as job 4711; what was called is in ``calls``."""
    programs = tmp_path / "env" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").touch()
    for name, body in STUBS.items():
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >> "$CALLS"\n{body}\n')
        (programs / name).chmod(0o755)
    environment = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CALLS": str(tmp_path / "calls"),
        "RAYNAS_ENV": str(tmp_path / "env"),
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_CPUS_PER_TASK": "8",
        "SLURMD_NODENAME": "host1",
    }

    def start(*arguments: str, code: int = 0) -> "subprocess.Popen[str]":
        command = ["bash", str(SBATCH), *arguments]
        return subprocess.Popen(command, cwd=tmp_path, env={**environment, "CODE": str(code)}, text=True)

    return start


def calls(folder: Path, program: str) -> list[str]:
    path = folder / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.removeprefix(f"{program} ") for line in lines if line.startswith(f"{program} ")]


def test_a_new_job_runs_the_file(start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> None:
    assert start("tasks/net.py", "--num-workers", "3", code=3).wait(timeout=30) == 3
    assert calls(tmp_path, "raynas") == [f"run tasks/net.py --storage {tmp_path}/runs --name net-4711 --num-workers 3"]
    *started, clean = calls(tmp_path, "srun")
    head, workers = sorted(started, key=lambda line: "--head" not in line)
    assert "--nodelist=host1 ray start --head" in head
    assert "--nodes=2 --ntasks=2 --exclude=host1 ray start --address=" in workers
    assert clean == "--overlap rm -rf /tmp/raynas-4711"
    (address,) = calls(tmp_path, "address")
    host, port = address.removesuffix(" token").rsplit(":", 1)
    assert f"--node-ip-address={host} --port={port}" in head
    assert f"--address={host}:{port} " in workers
    assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o077 == 0
    assert not calls(tmp_path, "scontrol")


def test_a_job_that_was_requeued_resumes(start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> None:
    (tmp_path / "runs" / "net-4711").mkdir(parents=True)
    (tmp_path / "runs" / "net-4711" / "plan.json").write_text("{}")
    assert start("tasks/net.py", "--num-workers", "3").wait(timeout=30) == 0
    assert calls(tmp_path, "raynas") == [f"resume {tmp_path}/runs/net-4711"]


def test_at_the_end_of_its_time_a_job_is_requeued(start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> None:
    (tmp_path / "slow").touch()
    job = start("net.py")
    deadline = time.monotonic() + 30
    while not calls(tmp_path, "address") and time.monotonic() < deadline:
        time.sleep(0.05)
    job.send_signal(signal.SIGUSR1)
    job.wait(timeout=30)
    assert calls(tmp_path, "scontrol") == ["requeue 4711"]


def test_without_a_file_it_says_how_it_is_used(start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> None:
    assert start().wait(timeout=30) != 0
    assert not (tmp_path / "calls").exists()
