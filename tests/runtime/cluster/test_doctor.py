"""A healthy machine, and what is said of one that is not."""

import socket
import time
from pathlib import Path

import pytest

from raynas.runtime.cluster import doctor
from raynas.runtime.cluster.doctor import Finding, examine


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {each.check: each for each in findings}


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_machine_is_looked_at_and_what_is_wrong_is_said(tmp_path: Path) -> None:
    found = by_check(examine(weight_bytes=1_000_000, storage=str(tmp_path)))
    assert set(found) == {"versions", "object store", "disk", "GPUs", "names", "storage", "clock"}
    for check in ("versions", "object store", "names", "storage", "clock"):
        assert found[check].passed, found[check]
    assert "raynas 0" in found["versions"].found
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    found = by_check(examine(weight_bytes=10**13, storage=str(tmp_path / "file")))
    assert found["object store"].advice.startswith("the weights of this task need 50000.0 GB: raise it")
    assert "writable from every machine" in found["storage"].advice


def test_a_name_server_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(name: str, port: None) -> None:
        time.sleep(0.1)
        raise socket.gaierror(-3, f"Temporary failure in name resolution of {name}, {port}")

    assert doctor._names("here", "127.0.0.1").passed
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(doctor, "NAME_SECONDS", 0.1)
    assert doctor._names("here", "127.0.0.1").advice.startswith("its name server does not answer")
