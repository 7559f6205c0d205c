"""Three hosts and a bucket: none of them sees a file of another, and yet the run is whole."""

import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raynas.api.run_archive import unpack
from tests.cluster.conftest import some_hosts
from tests.cluster.hosts import ROOT, Hosts
from tests.cluster.test_three_hosts import SMALL
from tests.whole_run import assert_is_whole, assert_nothing_holds_a_secret

pytestmark = [pytest.mark.ray, pytest.mark.cluster, pytest.mark.nightly, pytest.mark.timeout(900)]
KEYS = {"AWS_ACCESS_KEY_ID": "planted-key-3", "AWS_SECRET_ACCESS_KEY": "planted-key-4"}
HOST = "10.77.0.1:5555"
RUNS = f"s3://bucket/runs?scheme=http&endpoint_override={HOST}&region=us-east-1"
MAKE_BUCKET = f"""
from pyarrow.fs import S3FileSystem
S3FileSystem(endpoint_override={HOST!r}, scheme="http", region="us-east-1", allow_bucket_creation=True).create_dir("bucket")
"""


def test_a_run_in_a_bucket_uses_all_hosts(tmp_path: Path) -> None:
    with some_hosts("--hosts", "3", AWS_EC2_METADATA_DISABLED="true", **KEYS) as hosts:
        address, port = HOST.split(":")
        server = hosts.begin(0, sys.executable, "-m", "moto.server", "-H", address, "-p", port, log=tmp_path / "server")
        deadline = time.monotonic() + 60
        while (made := hosts.run(0, sys.executable, "-c", MAKE_BUCKET)).returncode != 0:
            assert time.monotonic() < deadline, made.stderr
        options = ["--storage", RUNS, "--name", "run", *SMALL]
        ended = hosts.run(0, "raynas", "run", str(ROOT / "examples" / "digits.py"), "--address", "auto", *options)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        run = fetch(hosts, tmp_path / "fetched")
    server.wait(timeout=30)  # it has ended with its host
    assert_is_whole(run, 30)
    assert set(pq.read_table(run / "trials.parquet").column("node").to_pylist()) == {"raynas-0", "raynas-1", "raynas-2"}
    assert list((run / "weights" / "shards").iterdir())
    assert list((run / "checkpoints" / "supernet").rglob("trainer.pt"))
    assert_nothing_holds_a_secret(run, ended.stdout, ended.stderr, secrets=KEYS.values())


def fetch(hosts: Hosts, target: Path) -> Path:
    """The run, from another host than the one that drove it."""
    place = RUNS.replace("?", "/run?")
    packed: subprocess.CompletedProcess[str] = hosts.run(2, "raynas", "pack", place, "--all")
    assert packed.returncode == 0, packed.stderr
    return unpack(packed.stdout.splitlines(), target)
