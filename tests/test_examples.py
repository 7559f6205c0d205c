"""Every example runs; ``examples/digits.py`` does in the tests of the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.mark.nightly
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_multi_trial(tmp_path: Path) -> None:
    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    arguments = [sys.executable, str(EXAMPLES / "multi_trial.py"), "--num-trials", "6", "--epochs", "3"]
    result = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110)
    assert result.returncode == 0, result.stderr
    trials = pq.read_table(tmp_path / "runs" / "multi-trial" / "trials.parquet")
    states = trials.column("state").to_pylist()
    assert states.count("completed") + states.count("stopped") == 6
    assert "stopped" in states
    assert f"{states.count('completed')} completed, {states.count('stopped')} stopped" in result.stdout


@pytest.mark.nightly
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.timeout(240)
def test_shared_weights() -> None:
    """Four workers that share their weights end with a better supernet than those that train alone for as many steps."""
    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    arguments = [sys.executable, str(EXAMPLES / "shared_weights.py")]
    result = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=220)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout.splitlines()[-1])
    print(figures)  # noqa: T201
    assert figures["shared"] > figures["alone_best"] > 0
    assert figures["clashes"] > 0
