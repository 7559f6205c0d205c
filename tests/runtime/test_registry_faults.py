"""Machines and processes are lost, really: what was published is there or named, and nobody reads half a version."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_program(folder: Path, seconds: float) -> dict[str, Any]:
    """Run ``registry_program`` in a process, and so in a cluster, of its own; gives its figures."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    arguments = [sys.executable, "-m", "tests.runtime.registry_program", str(folder), str(seconds)]
    run = subprocess.run(
        arguments,
        env={**environment, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert run.returncode == 0, run.stderr[-5000:]
    figures: dict[str, Any] = json.loads((folder / "figures.json").read_text())
    print(figures)  # noqa: T201
    return figures


@pytest.mark.nightly
@pytest.mark.ray
@pytest.mark.timeout(200)
def test_a_machine_with_the_only_copy_goes(tmp_path: Path) -> None:
    figures = run_program(tmp_path, 0)
    assert "registry 'bare' has lost the weights of" in figures["error"]
    assert "outside all choices" in figures["error"] or "op[0]" in figures["error"]
    assert "storage_path" in figures["error"]


@pytest.mark.ray
@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_minute_of_writers_readers_and_kills(tmp_path: Path) -> None:
    figures = run_program(tmp_path, 60)
    assert figures["kills"] >= 10
    assert figures["reads"] > 20
    assert figures["writes"] > 20
