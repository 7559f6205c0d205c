"""``CheckpointStore``: what is whole, whose turn it is, and what is swept."""

import json
from pathlib import Path

import pytest

from raynas.errors import CheckpointError
from raynas.oneshot import CheckpointStore
from raynas.oneshot.checkpoints.store import WHOLE


def write(store: CheckpointStore, generation: int, step: int) -> Path:
    """A checkpoint of two files, committed."""
    folder = store.folder_of(generation, step)
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"12345")
    (folder / "b").write_bytes(b"123")
    store.commit(generation, step, {"a": 5, "b": 3})
    return folder


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "deep" / "checkpoints")


def test_the_newest_whole_one_is_found_and_two_are_kept(store: CheckpointStore) -> None:
    assert store.newest() is None
    generation = store.begin()
    folders = [write(store, generation, step) for step in (2, 9, 10)]
    assert store.newest() == folders[2]
    assert [folder.exists() for folder in folders] == [False, True, True]


def test_a_later_generation_counts_before_a_later_step(store: CheckpointStore) -> None:
    write(store, store.begin(), 90)
    later = write(store, store.begin(), 50)
    assert store.newest() == later


DAMAGE = {
    "never committed": lambda folder: (folder / WHOLE).unlink(),
    "a file is missing": lambda folder: (folder / "a").unlink(),
    "a file is short": lambda folder: (folder / "b").write_bytes(b"12"),
    "the list is cut off": lambda folder: (folder / WHOLE).write_bytes((folder / WHOLE).read_bytes()[:20]),
    "the list is empty": lambda folder: (folder / WHOLE).write_bytes(b""),
    "the list is none": lambda folder: (folder / WHOLE).write_text(json.dumps(["a"])),
    "the list names what lies elsewhere": lambda folder: (folder / WHOLE).write_text(json.dumps({"files": {"../../x": 1}})),
    "the list names nothing": lambda folder: (folder / WHOLE).write_text(json.dumps({"files": {}})),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_not_whole_is_passed_over_and_swept_at_the_next_start(store: CheckpointStore, damage: object) -> None:
    generation = store.begin()
    good, bad = write(store, generation, 1), write(store, generation, 2)
    damage(bad)  # type: ignore[operator]
    assert store.newest() == good
    assert bad.exists()
    assert store.begin() == generation + 1
    assert not bad.exists()
    assert store.newest() == good


def test_an_old_writer_is_refused_and_removes_nothing(store: CheckpointStore) -> None:
    old = store.begin()
    kept = [write(store, old, step) for step in (1, 2)]
    late = store.folder_of(old, 3)
    late.mkdir()
    (late / "a").write_bytes(b"1")
    new = CheckpointStore(store.folder)
    generation = new.begin()
    late.mkdir()  # it goes on writing
    (late / "a").write_bytes(b"1")
    with pytest.raises(CheckpointError, match=rf"start {old} is refused, since start {generation} "):
        store.commit(old, 3, {"a": 1})
    assert new.newest() == kept[1]
    assert all(folder.exists() for folder in kept)
    assert write(new, generation, 3) == new.newest()


def test_two_that_begin_at_once_have_different_turns(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = store.begin()
    monkeypatch.setattr(store, "_latest_generation", lambda: first - 1)  # what the other saw before the first was there
    assert store.begin() == first + 1


def test_a_checkpoint_that_could_not_be_written_is_removed(store: CheckpointStore) -> None:
    generation = store.begin()
    store.folder_of(generation, 4).mkdir()
    store.drop(generation, 4)
    store.drop(generation, 5)  # of which there is nothing
    assert not list(store.folder.glob("*-*/"))
