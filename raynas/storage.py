"""``Storage``: a folder on whatever ``pyarrow.fs`` opens, in which every file is written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import pyarrow
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType, LocalFileSystem

from raynas.errors import OptionError

OBJECT_STORES = ("s3", "gcs", "abfs")  # as pyarrow calls them


class Storage:
    """A folder, on a disk or in an object store.

    Args:
        place: a path, or a URI such as ``s3://bucket/prefix``. Nothing is made before something is written.

    Raises:
        OptionError: the URI holds a password, which would come into messages and files.
    """

    def __init__(self, place: str | Path) -> None:
        place = plain_place(place)
        self.place = str(place) if is_uri(place) else str(Path(place).absolute())
        if is_uri(place) and urlsplit(self.place).password is not None:
            raise OptionError("the URI of the storage holds a password; give keys by the environment, as tools of the store do")
        self._opened: tuple[FileSystem, str] | None = None

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return Storage, (self.place,)

    def __repr__(self) -> str:
        return f"Storage({self.place!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Storage) and other.place == self.place

    def __hash__(self) -> int:
        return hash(self.place)

    @property
    def local_path(self) -> Path | None:
        """The folder as a path; ``None`` for a URI."""
        return None if is_uri(self.place) else Path(self.place)

    @property
    def shown(self) -> str:
        """The folder as messages name it: a URI without its query."""
        return self.place.partition("?")[0].rstrip("/") if is_uri(self.place) else self.place

    def path(self, name: str) -> str:
        """A file as it is named in messages."""
        return f"{self.shown}/{name}"

    def folder(self, name: str) -> Storage:
        """A folder in this one."""
        if not is_uri(self.place):
            return Storage(Path(self.place) / name)
        place, mark, query = self.place.partition("?")
        return Storage(f"{place.rstrip('/')}/{name}{mark}{query}")

    def sizes(self, folder: str = "") -> dict[str, int]:
        """The files in a folder with their sizes in bytes, without those that are still being written."""
        found = [info for info in self._list(folder) if info.type == FileType.File and not info.base_name.startswith(".")]
        return {info.base_name: info.size for info in found}

    def names(self, folder: str = "") -> list[str]:
        """The files in a folder, as ``sizes`` lists them."""
        return sorted(self.sizes(folder))

    def folders(self, folder: str = "") -> list[str]:
        """The folders in a folder."""
        return sorted(info.base_name for info in self._list(folder) if info.type == FileType.Directory)

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        system, root = self._open()
        return bool(system.get_file_info(f"{root}/{name}").type == FileType.File)

    def read(self, name: str) -> bytes:
        """The content of a file. Raises ``OSError`` if there is none."""
        system, root = self._open()
        with system.open_input_file(f"{root}/{name}") as file:
            content: bytes = file.read()
        return content

    @contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        """A file as one on this machine's disk: itself, or a copy for as long as the ``with`` block runs."""
        path = self.local_path
        if path is not None:
            yield path / name
            return
        with tempfile.TemporaryDirectory(prefix="raynas-") as scratch:
            copy = Path(scratch) / Path(name).name
            copy.write_bytes(self.read(name))
            yield copy

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole: beside it and renamed on a disk, in one call in an object store."""
        system, root = self._open()
        if isinstance(system, LocalFileSystem):
            with _beside(Path(root) / name) as file:
                file.write(content)
        else:
            _put(system, f"{root}/{name}", content)

    def write_durably(self, name: str, write: Callable[[IO[bytes]], object]) -> int:
        """Write a file whole, and have it on the disk before it gets its name, so that it survives a power failure.

        Args:
            name: of the file.
            write: is given a file to write to.

        Returns:
            Its size in bytes.
        """
        system, root = self._open()
        if isinstance(system, LocalFileSystem):
            with _beside(Path(root) / name) as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
                return file.tell()
        with tempfile.NamedTemporaryFile(prefix="raynas-") as scratch:
            write(scratch)
            scratch.flush()
            size = scratch.tell()
            content = pyarrow.memory_map(scratch.name).read_buffer() if size else b""
            _put(system, f"{root}/{name}", content)
        return size

    def delete(self, name: str) -> None:
        """Delete a file if it is there."""
        system, root = self._open()
        try:
            system.delete_file(f"{root}/{name}")
        except FileNotFoundError:
            return

    def delete_folder(self, name: str) -> None:
        """Delete a folder with everything in it, as far as that can be done."""
        system, root = self._open()
        if isinstance(system, LocalFileSystem):
            shutil.rmtree(Path(root) / name, ignore_errors=True)
            return
        try:
            system.delete_dir(f"{root}/{name}")
        except OSError:
            return

    def claim(self, prefix: str) -> str | None:
        """Claim what a prefix stands for: of all that do, wherever they run, one at most gets it.

        Each first writes a file of its own and looks then, so that of two the later one sees the other.

        Returns:
            The name of the file, which begins with the prefix; ``None`` if others claim it too.
        """
        name = f"{prefix}{uuid.uuid4().hex}"
        self.write(name, b"")
        if [found for found in self.names() if found.startswith(prefix)] == [name]:
            return name
        self.delete(name)
        return None

    def _list(self, folder: str) -> list[FileInfo]:
        system, root = self._open()
        found: list[FileInfo] = system.get_file_info(FileSelector(f"{root}/{folder}".rstrip("/"), allow_not_found=True))
        return found

    def _open(self) -> tuple[FileSystem, str]:
        if self._opened is None:
            opened = FileSystem.from_uri(self.place) if is_uri(self.place) else (LocalFileSystem(), self.place)
            self._opened = (opened[0], opened[1].rstrip("/"))
        return self._opened


def is_uri(place: str | Path) -> bool:
    """Whether a place is a URI rather than a path."""
    return "://" in str(place)


def plain_place(place: str | Path) -> str | Path:
    """The path for the URI of a file; any other place as it is."""
    return unquote(urlsplit(str(place)).path) if str(place).startswith("file://") else place


@contextmanager
def _beside(target: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when the ``with`` block has ended, if it ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")  # process ids repeat on a disk that machines share
    try:
        with beside.open("wb") as file:
            yield file
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _put(system: FileSystem, path: str, content: bytes | pyarrow.Buffer) -> None:
    """Write a file whole where it is not on a disk: readers of an object store see an object when it is complete."""
    if system.type_name in OBJECT_STORES:
        _put_at_once(system, path, content)
        return
    folder, _, name = path.rpartition("/")
    system.create_dir(folder)
    beside = f"{folder}/.{name}.{uuid.uuid4().hex}"
    _put_at_once(system, beside, content)
    system.move(beside, path)


def _put_at_once(system: FileSystem, path: str, content: bytes | pyarrow.Buffer) -> None:
    """Write in one call. Where that is interrupted there is nothing: closing would make an object of what came so far."""
    file = system.open_output_stream(path)
    try:
        file.write(content)
    except BaseException:
        file.close()
        system.delete_file(path)
        raise
    file.close()
