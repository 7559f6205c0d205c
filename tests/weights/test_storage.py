"""``Storage``: files that are whole or not there, in a folder or wherever ``pyarrow.fs`` reaches."""

import pickle
import threading
from pathlib import Path

import pytest

from raynas.weights import Storage


@pytest.fixture(params=["path", "uri", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A folder by its path and by its URI, and pyarrow's file system in memory, which stands for an object store."""
    if request.param != "memory":
        return Storage(tmp_path / "net" if request.param == "path" else f"file://{tmp_path}/net")
    storage = Storage("mock:///net")
    system, root = storage._open()
    system.create_dir(f"{root}/folder")  # object stores need no folders, this one does
    return storage


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_is_written_is_read_replaced_and_deleted(storage: Storage) -> None:
    assert not storage.exists("folder/a")
    for content in (b"one", b"", b"another" * 1000):
        storage.write("folder/a", content)
        assert (storage.exists("folder/a"), storage.read("folder/a")) == (True, content)
    storage.write("folder/b", b"b")
    assert (storage.names("folder"), storage.names("nowhere")) == (["a", "b"], [])
    storage.delete("folder/a")
    storage.delete("folder/a")  # again: nothing to do
    assert storage.names("folder") == ["b"]
    with pytest.raises(OSError, match="folder/a"):
        storage.read("folder/a")


def test_another_process_opens_the_same_place(storage: Storage) -> None:
    again = pickle.loads(pickle.dumps(storage))
    assert (again.place, again.path("x")) == (storage.place, storage.path("x"))
    if not storage.place.startswith("mock:"):  # memory is a process's own
        storage.write("folder/a", b"one")
        assert again.read("folder/a") == b"one"


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_nothing_is_made_before_something_is_written(tmp_path: Path, prefix: str) -> None:
    storage = Storage(f"{prefix}{tmp_path}/deep/net")
    assert (storage.names("folder"), storage.exists("folder/a")) == ([], False)
    storage.delete("folder/a")
    assert list(tmp_path.iterdir()) == []
    storage.write("folder/a", b"one")
    assert files(tmp_path) == ["deep/net/folder/a"]


def test_a_path_is_made_absolute_and_a_uri_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Storage("net").place == Storage(Path("net")).place == str(tmp_path / "net")
    assert Storage("s3://bucket/net/").path("folder/a") == "s3://bucket/net/folder/a"
    assert Storage("net").path("folder/a") == str(tmp_path / "net" / "folder" / "a")


def test_folders_and_what_is_still_being_written_are_not_listed(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.write("folder/a", b"one")
    (tmp_path / "folder" / "inside").mkdir()
    (tmp_path / "folder" / ".b.4711").write_bytes(b"ha")
    assert storage.names("folder") == ["a"]
    assert not storage.exists("folder/inside")


def test_after_an_error_the_old_content_is_there_and_nothing_beside_it(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.write("a", b"one")
    with pytest.raises(TypeError):
        storage.write("a", "text")  # type: ignore[arg-type]
    (tmp_path / "b").mkdir()
    with pytest.raises(OSError, match="b"):
        storage.write("b", b"a folder is in the way")
    assert files(tmp_path) == ["a"]
    assert storage.read("a") == b"one"


def test_whoever_reads_while_others_write_sees_a_whole_file(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    contents = [bytes([number]) * 100_000 for number in range(3)]
    storage.write("a", contents[0])

    def write(content: bytes) -> None:
        for _ in range(20):
            Storage(tmp_path).write("a", content)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    seen = set()
    while any(thread.is_alive() for thread in threads):
        seen.add(storage.read("a"))
    for thread in threads:
        thread.join()
    assert seen <= set(contents)
    assert files(tmp_path) == ["a"]
