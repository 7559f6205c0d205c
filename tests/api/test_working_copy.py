"""A run that is kept in an object store: what changes on the driver's disk follows, and nobody else writes."""

import gc
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from raynas.api import working_copy
from raynas.api.working_copy import WorkingCopy
from raynas.errors import RunNotKeptError, RunTakenOverError
from raynas.storage import Storage


@pytest.fixture
def root(s3: Callable[[], str]) -> Storage:
    return Storage(s3())


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working_copy, "PUSH_EVERY", 0.1)


def kept(storage: Storage) -> list[str]:
    """What is there, without the file that says who drives."""
    return [name for name in storage.names() if not name.startswith(working_copy.DRIVER)]


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_is_written_follows_and_comes_back(root: Storage) -> None:
    copy = WorkingCopy(root, "net")
    with copy.kept():
        (copy.path / "journal").mkdir()
        (copy.path / "journal" / "1.open").write_text("one\n")
        wait_for(lambda: root.exists("net/journal/1.open"))
        with (copy.path / "journal" / "1.open").open("a") as file:
            file.write("two\n")
        wait_for(lambda: root.read("net/journal/1.open") == b"one\ntwo\n")
        (copy.path / "journal" / "1.open").rename(copy.path / "journal" / "1")
        (copy.path / "last").write_text("at the end")
    assert (root.folder("net").names(), root.names("net/journal")) == (["last"], ["1"])
    again = WorkingCopy(root, "net")
    again.fetch()
    assert (again.path / "journal" / "1").read_text() == "one\ntwo\n"
    assert not list(again.path.glob("driver-*"))


def test_what_workers_write_is_neither_fetched_nor_deleted(root: Storage) -> None:
    for name in ("weights/a", "checkpoints/b", "retrain/checkpoints/00000.tar", ".ray/c", "result.json"):
        root.folder("net").write(name, b"there")
    copy = WorkingCopy(root, "net")
    copy.fetch()
    assert [path.relative_to(copy.path).as_posix() for path in copy.path.rglob("*") if path.is_file()] == ["result.json"]
    copy.fetch(everything=True)
    with copy.kept():
        (copy.path / "weights" / "a").unlink()
        (copy.path / "weights" / "here").write_text("stays here")
    assert root.names("net/weights") == ["a"]
    assert root.exists("net/retrain/checkpoints/00000.tar")


def test_files_follow_in_the_order_in_which_they_were_written(root: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    copy, order = WorkingCopy(root, "net"), list[str]()
    for number, name in enumerate(("c", "a", "d", "b")):
        (copy.path / name).write_text(name)
        os.utime(copy.path / name, ns=(0, number))
    monkeypatch.setattr(Storage, "write", lambda self, name, content: order.append(name))
    copy.push()
    assert order == ["c", "a", "d", "b"]
    copy.push()
    assert len(order) == 4  # nothing has changed


def test_the_copy_goes_when_nobody_needs_it(root: Storage) -> None:
    copy = WorkingCopy(root, "net")
    path = copy.path
    with copy.kept():
        (path / "a").write_text("one")
    del copy
    gc.collect()
    assert not path.parent.exists()
    assert root.read("net/a") == b"one"


def test_whoever_goes_on_with_a_run_shuts_the_other_out(root: Storage, caplog: pytest.LogCaptureFixture) -> None:
    old, new = WorkingCopy(root, "net"), WorkingCopy(root, "net")
    driving = old.kept()
    driving.__enter__()
    (old.path / "a").write_text("old")
    wait_for(lambda: root.exists("net/a"))
    with caplog.at_level(logging.ERROR), new.kept():
        assert (new.path / "a").read_text() == "old"  # though it was made before that was there
        (new.path / "a").write_text("new")
        wait_for(lambda: root.read("net/a") == b"new")
        (old.path / "a").write_text("old again")
        wait_for(lambda: "is driven by another process now" in caplog.text)
        assert (new.path / "a").read_text() == "new"
    with pytest.raises(RunTakenOverError, match="net is driven by another process"):
        driving.__exit__(None, None, None)
    assert root.read("net/a") == b"new"


def test_storage_that_fails_for_a_while_is_named_once_and_catches_up(
    root: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    copy, write = WorkingCopy(root, "net"), Storage.write
    with copy.kept(), caplog.at_level(logging.WARNING):
        with monkeypatch.context() as broken:
            broken.setattr(Storage, "write", refuse)
            (copy.path / "a").write_text("one")
            wait_for(lambda: "the run goes on" in caplog.text)
            time.sleep(0.5)
        assert Storage.write is write
        wait_for(lambda: root.exists("net/a"))
    assert len([record for record in caplog.records if "cannot be written" in record.message]) == 1


def test_storage_that_fails_to_the_end_leaves_the_copy_and_names_it(root: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = WorkingCopy(root, "net")
    path, driving = copy.path, copy.kept()
    driving.__enter__()
    (path / "a").write_text("one")
    with monkeypatch.context() as broken:
        broken.setattr(Storage, "write", refuse)
        with pytest.raises(RunNotKeptError, match=f"the run is in {path}"):
            driving.__exit__(None, None, None)
    del copy, driving
    gc.collect()
    assert (path / "a").read_text() == "one"
    WorkingCopy(root, "net").push()


def refuse(*_: object) -> None:
    raise OSError("no way there")


def test_a_killed_driver_loses_the_last_moment_only(root: Storage) -> None:
    program = (
        "import os, signal, sys, time\n"
        "from raynas.api.working_copy import WorkingCopy\n"
        "from raynas.storage import Storage\n"
        f"root = Storage({root.place!r})\n"
        "copy = WorkingCopy(root, 'net')\n"
        "with copy.kept():\n"
        "    (copy.path / 'a').write_text('one')\n"
        "    while not root.exists('net/a'): time.sleep(0.05)\n"
        "    (copy.path / 'b').write_text('two')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == -9
    copy = WorkingCopy(root, "net")
    copy.fetch()
    with copy.kept():
        (copy.path / "b").write_text("three")
    assert (kept(root.folder("net")), root.read("net/b")) == (["a", "b"], b"three")
    assert root.folder("net").names() == ["a", "b"]


def test_a_folder_on_a_disk_is_its_own_storage(tmp_path: Path) -> None:
    assert working_copy.storage_of(tmp_path / "net") == Storage(tmp_path / "net")
