"""A healthy machine, and what is said of one that is not."""

from pathlib import Path

import pytest

from raynas.runtime.cluster.doctor import Finding, examine

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {each.check: each for each in findings}


def test_a_machine_is_looked_at_and_what_is_wrong_is_said(tmp_path: Path) -> None:
    found = by_check(examine(weight_bytes=1_000_000, storage=str(tmp_path)))
    assert set(found) == {"versions", "object store", "disk", "GPUs", "storage", "clock"}
    for check in ("versions", "object store", "storage", "clock"):
        assert found[check].passed, found[check]
    assert "raynas 0" in found["versions"].found
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    found = by_check(examine(weight_bytes=10**13, storage=str(tmp_path / "file")))
    assert found["object store"].advice.startswith("the weights of this task need 50000.0 GB: raise it")
    assert "writable from every machine" in found["storage"].advice
