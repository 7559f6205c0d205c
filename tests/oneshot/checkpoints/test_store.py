"""``CheckpointStore``: what is whole, whose turn it is, and what is swept."""

import json

import pytest

from raynas.errors import CheckpointError
from raynas.oneshot import CheckpointStore
from raynas.oneshot.checkpoints.store import WHOLE
from raynas.storage import Storage


def write(store: CheckpointStore, generation: int, step: int) -> Storage:
    """A checkpoint of two files, committed."""
    folder = store.folder_of(generation, step)
    folder.write("a", b"12345")
    folder.write("b", b"123")
    store.commit(generation, step, {"a": 5, "b": 3})
    return folder


@pytest.fixture
def store(place: str) -> CheckpointStore:
    return CheckpointStore(Storage(place))


def test_the_newest_whole_one_is_found_and_two_are_kept(store: CheckpointStore) -> None:
    assert store.newest() is None
    generation = store.begin()
    folders = [write(store, generation, step) for step in (2, 9, 10)]
    assert store.newest() == folders[2]
    assert [bool(folder.names()) for folder in folders] == [False, True, True]


def test_a_later_generation_counts_before_a_later_step(store: CheckpointStore) -> None:
    write(store, store.begin(), 90)
    later = write(store, store.begin(), 50)
    assert store.newest() == later


DAMAGE = {
    "never committed": lambda folder: folder.delete(WHOLE),
    "a file is missing": lambda folder: folder.delete("a"),
    "a file is short": lambda folder: folder.write("b", b"12"),
    "the list is cut off": lambda folder: folder.write(WHOLE, folder.read(WHOLE)[:20]),
    "the list is empty": lambda folder: folder.write(WHOLE, b""),
    "the list is none": lambda folder: folder.write(WHOLE, json.dumps(["a"]).encode()),
    "the list names what lies elsewhere": lambda folder: folder.write(WHOLE, json.dumps({"files": {"../../x": 1}}).encode()),
    "the list names nothing": lambda folder: folder.write(WHOLE, json.dumps({"files": {}}).encode()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_not_whole_is_passed_over_and_swept_at_the_next_start(store: CheckpointStore, damage: object) -> None:
    generation = store.begin()
    good, bad = write(store, generation, 1), write(store, generation, 2)
    damage(bad)  # type: ignore[operator]
    assert store.newest() == good
    assert bad.names()
    assert store.begin() == generation + 1
    assert not bad.names()
    assert store.newest() == good


def test_an_old_writer_is_refused_and_removes_nothing(store: CheckpointStore) -> None:
    old = store.begin()
    kept = [write(store, old, step) for step in (1, 2)]
    late = store.folder_of(old, 3)
    late.write("a", b"1")
    new = CheckpointStore(store.storage)
    generation = new.begin()
    late.write("a", b"1")  # it goes on writing
    with pytest.raises(CheckpointError, match=rf"start {old} is refused, since start {generation} "):
        store.commit(old, 3, {"a": 1})
    assert new.newest() == kept[1]
    assert all(folder.names() for folder in kept)
    assert write(new, generation, 3) == new.newest()


def test_two_that_begin_at_once_have_different_turns(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = store.begin()
    monkeypatch.setattr(store, "_latest_generation", lambda: first - 1)  # what the other saw before the first was there
    assert store.begin() == first + 1


def test_a_checkpoint_that_could_not_be_written_is_removed(store: CheckpointStore) -> None:
    generation = store.begin()
    store.folder_of(generation, 4).write("a", b"1")
    store.drop(generation, 4)
    store.drop(generation, 5)  # of which there is nothing
    assert not [name for name in store.storage.folders() if store.storage.names(name)]
