"""What is asked of machines, on one machine; of several in ``tests/cluster``."""

import json
import os
from pathlib import Path

import pytest

from raynas.errors import ClusterError
from raynas.runtime.cluster import nodes
from raynas.runtime.cluster.nodes import (
    EXPECTED,
    Node,
    alive_nodes,
    ask_nodes,
    ask_who_sees,
    check_storage,
    check_versions,
    session_folder,
    version_problems,
    versions_here,
)
from raynas.storage import Storage

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


def test_this_machine_is_known_and_answers() -> None:
    (node,) = alive_nodes()
    assert node.is_here
    assert session_folder(node.id).is_dir()

    def process() -> int:
        import os

        return os.getpid()

    assert ask_nodes([node], process)[node] != os.getpid()


def test_a_machine_that_fails_or_does_not_answer_is_told() -> None:
    def sleep() -> None:
        import time

        time.sleep(60)

    nodes = alive_nodes()
    assert "division by zero" in str(ask_nodes(nodes, lambda: 1 / 0)[nodes[0]])
    assert str(ask_nodes(nodes, sleep, seconds=0.2)[nodes[0]]) == "no answer within 0.2 s"
    gone = Node("0" * 56, "gone (192.0.2.9)", False)
    assert isinstance(ask_nodes([gone], lambda: 1, seconds=5)[gone], Exception)


def test_versions_are_compared() -> None:
    here, node = versions_here(), Node("1", "there (192.0.2.9)", False)
    assert set(here) == {"raynas", "ray", "torch"}
    assert version_problems(node, dict(here), here) == []
    assert version_problems(node, {**here, "torch": "1.0"}, here) == [
        f"there (192.0.2.9) has torch 1.0, this machine {here['torch']}"
    ]
    assert version_problems(node, {**here, "raynas": None}, here) == [
        f"there (192.0.2.9) has raynas not at all, this machine {here['raynas']}"
    ]
    assert version_problems(node, TimeoutError("no answer"), here) == ["there (192.0.2.9) does not answer: no answer"]


def test_a_job_that_others_have_submitted_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    check_versions()
    monkeypatch.setenv(EXPECTED, json.dumps(versions_here()))
    check_versions()
    monkeypatch.setenv(EXPECTED, json.dumps({**versions_here(), "raynas": "0.0.9"}))
    with pytest.raises(ClusterError, match=r"submitted by other versions: raynas 0\.0\.9 there, .* here"):
        check_versions()


def test_a_folder_that_is_here_is_seen_here(tmp_path: Path) -> None:
    check_storage(Storage(tmp_path))
    assert list(ask_who_sees(alive_nodes(), Storage(tmp_path)).values()) == [True]
    assert list(tmp_path.iterdir()) == []


def test_a_machine_that_has_just_gone_does_not_stop_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gone = Node("0" * 56, "gone (192.0.2.9)", False)
    there = alive_nodes()
    monkeypatch.setattr(nodes, "alive_nodes", lambda: [*there, gone])
    check_versions()
    check_storage(Storage(tmp_path))
    assert caplog.text.count("gone (192.0.2.9) does not answer, and is left out") == 2
