"""``Storage``: files that are whole or not there, in a folder or wherever ``pyarrow.fs`` reaches."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from raynas.errors import OptionError
from raynas.storage import Storage


@pytest.fixture(params=["path", "uri", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A folder by its path and by its URI, and an object store."""
    if request.param == "s3":
        return Storage(request.getfixturevalue("s3")())
    return Storage(tmp_path / "net" if request.param == "path" else f"file://{tmp_path}/net")


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


def test_files_and_folders_are_listed_with_their_sizes(storage: Storage) -> None:
    storage.write("a", b"one")
    storage.write("inner/b", b"")
    storage.write("inner/deeper/c", b"four")
    assert (storage.sizes(), storage.folders()) == ({"a": 3}, ["inner"])
    assert (storage.sizes("inner"), storage.folders("inner"), storage.folders("nowhere")) == ({"b": 0}, ["deeper"], [])


def test_a_folder_is_a_storage_of_its_own_and_can_be_deleted(storage: Storage) -> None:
    inner = storage.folder("inner").folder("deeper")
    inner.write("c", b"four")
    assert storage.read("inner/deeper/c") == b"four"
    assert inner.path("c") == storage.path("inner/deeper/c")
    storage.delete_folder("inner")
    storage.delete_folder("inner")
    assert not storage.exists("inner/deeper/c")
    assert inner.names() == []


@pytest.mark.parametrize("content", [b"", b"one" * 1000])
def test_what_was_written_piece_by_piece_is_fetched_as_a_file(storage: Storage, content: bytes) -> None:
    def write(file: IO[bytes]) -> None:
        for start in range(0, len(content), 100):
            file.write(content[start : start + 100])

    assert storage.write_durably("folder/a", write) == len(content)
    with storage.fetched("folder/a") as path:
        assert (path.name, path.read_bytes()) == ("a", content)
    with pytest.raises(OSError, match="nothing"), storage.fetched("nothing") as path:
        path.read_bytes()


def test_what_breaks_off_leaves_nothing_new(storage: Storage) -> None:
    def break_off(file: IO[bytes]) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    storage.write("a", b"one")
    with pytest.raises(KeyboardInterrupt):
        storage.write_durably("a", break_off)
    with pytest.raises(TypeError):
        storage.write("b", "no bytes")  # type: ignore[arg-type]
    assert storage.sizes() == {"a": 3}


def test_of_many_that_claim_at_once_one_at_most_gets_it(storage: Storage) -> None:
    for _ in range(5):
        with ThreadPoolExecutor(4) as pool:
            claimed = list(pool.map(lambda _: Storage(storage.place).claim("turn-"), range(4)))
        names = [name for name in claimed if name is not None]
        assert len(names) <= 1
        assert storage.names() == names  # those that did not get it leave nothing
        assert storage.claim("turn-") is None or not names
        for name in storage.names():
            storage.delete(name)
    mine = storage.claim("turn-")
    assert mine is not None
    assert storage.claim("turn-") is None
    assert storage.claim("other-") is not None


def test_a_query_stays_at_the_end_and_out_of_messages() -> None:
    storage = Storage("s3://bucket/runs/?region=eu-west-1")
    assert storage.folder("a").place == "s3://bucket/runs/a?region=eu-west-1"
    assert storage.folder("a").path("b") == "s3://bucket/runs/a/b"
    assert storage.local_path is None


def test_a_password_in_a_uri_is_refused_and_not_repeated() -> None:
    with pytest.raises(OptionError, match="holds a password") as raised:
        Storage("s3://key:planted-secret@bucket/runs")
    assert "planted-secret" not in str(raised.value)


def test_another_process_opens_the_same_place(storage: Storage) -> None:
    again = pickle.loads(pickle.dumps(storage))
    assert (again.place, again.path("x")) == (storage.place, storage.path("x"))
    storage.write("folder/a", b"one")
    assert again.read("folder/a") == b"one"
    assert again == storage


def test_what_is_neither_a_disk_nor_an_object_store_is_written_beside_and_renamed() -> None:
    storage = Storage("mock:///net")  # in memory, for this object alone
    for content in (b"one", b"another"):
        storage.write("deep/a", content)
        assert (storage.read("deep/a"), storage.sizes("deep")) == (content, {"a": len(content)})
    with pytest.raises(TypeError):
        storage.write("deep/a", "text")  # type: ignore[arg-type]
    assert (storage.read("deep/a"), storage.names("deep")) == (b"another", ["a"])


def test_a_uri_of_a_file_is_its_path(tmp_path: Path) -> None:
    assert Storage(f"file://{tmp_path}/with%20space") == Storage(tmp_path / "with space")


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
