"""What a trial keeps: replaced as a whole, on a disk and in an object store."""

import io
import tarfile
from pathlib import Path

import pytest

from raynas.errors import RunDamagedError
from raynas.explore import SavedFiles
from raynas.storage import Storage


@pytest.fixture
def files(place: str) -> SavedFiles:
    return SavedFiles(Storage(place), 7)


def contents(folder: Path | None) -> dict[str, str]:
    assert folder is not None
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_saved_and_replaced(files: SavedFiles, tmp_path: Path, place: str) -> None:
    assert files.load() is None
    for text in ("first", "second"):
        (tmp_path / f"{text}.txt").write_text(text)
        files.save(tmp_path / f"{text}.txt")
    assert contents(files.load()) == {"second.txt": "second"}
    storage = Storage(place)
    assert [*storage.names(), *storage.folders()] in (["00007"], ["00007.tar"])


def test_a_folder_is_saved_as_it_is_and_links_as_what_they_lead_to(files: SavedFiles, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("linked")
    (tmp_path / "made" / "inner").mkdir(parents=True)
    (tmp_path / "made" / "inner" / "weights").write_text("kept")
    (tmp_path / "made" / "link").symlink_to(tmp_path / "elsewhere")
    files.save(tmp_path / "made")
    assert contents(files.load()) == {"inner/weights": "kept", "link": "linked"}


def test_what_was_loaded_can_be_saved_again(files: SavedFiles, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("kept")
    files.save(tmp_path / "weights")
    loaded = files.load()
    assert loaded is not None
    files.save(loaded)
    assert contents(files.load()) == {"weights": "kept"}


def test_trials_have_files_of_their_own(files: SavedFiles, tmp_path: Path, place: str) -> None:
    (tmp_path / "weights").write_text("kept")
    files.save(tmp_path / "weights")
    assert SavedFiles(Storage(place), 8).load() is None
    assert contents(SavedFiles(Storage(place), 7).load()) == {"weights": "kept"}


@pytest.mark.parametrize("name", ["../outside", "no archive"])
def test_an_archive_that_leads_out_of_it_is_refused(s3: object, name: str) -> None:
    storage, content = Storage(s3()), io.BytesIO(b"no archive at all")  # type: ignore[operator]
    if name != "no archive":
        with tarfile.open(fileobj=content, mode="w") as archive:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
    storage.write("00007.tar", content.getvalue())
    with pytest.raises(RunDamagedError, match=r"00007\.tar cannot be read"):
        SavedFiles(storage, 7).load()


def test_an_absolute_name_lies_within(s3: object) -> None:
    storage, content = Storage(s3()), io.BytesIO()  # type: ignore[operator]
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("/tmp/raynas-outside"), io.BytesIO(b""))
    storage.write("00007.tar", content.getvalue())
    assert contents(SavedFiles(storage, 7).load()) == {"tmp/raynas-outside": ""}
    assert not Path("/tmp/raynas-outside").exists()
