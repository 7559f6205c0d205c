"""Three hosts for all tests that want some."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.hosts import Hosts, why_not


@pytest.fixture(scope="session")
def three_hosts() -> Iterator[Hosts]:
    """Of one CPU each. Skipped, saying why, where this machine cannot have them."""
    missing = why_not()
    if missing is not None:
        pytest.skip(missing)
    folder = Path(tempfile.mkdtemp(prefix="rn-", dir="/tmp"))  # short, for Ray's sockets
    hosts = Hosts(folder / "h")
    hosts.up("--hosts", "3")
    yield hosts
    hosts.down()
    shutil.rmtree(folder)
