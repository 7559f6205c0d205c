"""Hosts for the tests that want some. Skipped, saying why, where this machine cannot have them."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.hosts import Hosts, why_not


@contextmanager
def some_hosts(*options: str, **variables: str) -> Iterator[Hosts]:
    """Hosts as ``hosts.sh up`` starts them with these options and variables, until they are not needed any more."""
    missing = why_not()
    if missing is not None:
        pytest.skip(missing)
    folder = Path(tempfile.mkdtemp(prefix="rn-", dir="/tmp"))  # short, for Ray's sockets
    hosts = Hosts(folder / "h", **variables)
    try:
        hosts.up(*options)
        yield hosts
    finally:
        hosts.down()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def three_hosts() -> Iterator[Hosts]:
    """Three of one CPU each, for a whole module."""
    with some_hosts("--hosts", "3") as hosts:
        yield hosts
