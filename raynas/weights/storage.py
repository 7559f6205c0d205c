"""``Storage``: a folder on whatever ``pyarrow.fs`` opens, in which every file is written whole or not at all."""

from __future__ import annotations

import uuid
from pathlib import Path

from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem


class Storage:
    """A folder, on a disk or in an object store.

    Args:
        place: a path, or a URI such as ``s3://bucket/prefix``. Nothing is made before something is written.
    """

    def __init__(self, place: str | Path) -> None:
        self.place = str(place) if "://" in str(place) else str(Path(place).absolute())
        self._opened: tuple[FileSystem, str] | None = None

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return Storage, (self.place,)

    def path(self, name: str) -> str:
        """A file as it is named in messages."""
        return f"{self.place.rstrip('/')}/{name}"

    def names(self, folder: str) -> list[str]:
        """The files in a folder, without those that are still being written."""
        system, root = self._open()
        found = system.get_file_info(FileSelector(f"{root}/{folder}", allow_not_found=True))
        return sorted(info.base_name for info in found if info.type == FileType.File and not info.base_name.startswith("."))

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

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole: beside it and renamed on a disk, in one piece in an object store."""
        system, root = self._open()
        path = f"{root}/{name}"
        if not isinstance(system, LocalFileSystem):
            with system.open_output_stream(path) as file:
                file.write(content)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")  # process ids repeat on a disk that machines share
        try:
            beside.write_bytes(content)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)

    def delete(self, name: str) -> None:
        """Delete a file if it is there."""
        system, root = self._open()
        try:
            system.delete_file(f"{root}/{name}")
        except FileNotFoundError:
            return

    def _open(self) -> tuple[FileSystem, str]:
        if self._opened is None:
            self._opened = FileSystem.from_uri(self.place) if "://" in self.place else (LocalFileSystem(), self.place)
        return self._opened
