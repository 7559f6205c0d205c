"""What is refused before a cluster is asked; jobs on one are in ``tests/cluster``."""

from pathlib import Path

import pytest

import raynas
from raynas.errors import OptionError, TaskError

HERE = "http://127.0.0.1:9"


def test_dashboards_are_told_from_heads() -> None:
    assert [raynas.is_dashboard(each) for each in ("http://head:8265", "https://head", "auto", "head:6379")] == [
        True,
        True,
        False,
        False,
    ]


def test_what_cannot_work_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("task = (\n")
    (tmp_path / "right.py").write_text("task = 1\n")
    for name, message in (("none.py", "none.py cannot be run"), ("wrong.py", "wrong.py cannot be run: .*never closed")):
        with pytest.raises(TaskError, match=message):
            raynas.submit(tmp_path / name, address=HERE, storage_path="/mnt/runs")
    for call in (
        lambda: raynas.submit(tmp_path / "right.py", address=HERE, storage_path="runs"),
        lambda: raynas.submit_resume("runs/task", address=HERE),
        lambda: raynas.download("runs/task", address=HERE),
    ):
        with pytest.raises(OptionError, match="is a relative path; on a cluster give an absolute one"):
            call()
