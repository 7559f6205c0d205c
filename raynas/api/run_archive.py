"""A run folder as one stream of text lines, which is what a job can say; and back, from a sender who is not trusted."""

from __future__ import annotations

import base64
import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO

from raynas.api.working_copy import ELSEWHERE
from raynas.errors import RunDamagedError, RunExistsError, RunNotFoundError

LINE, END = "raynas-archive ", "raynas-archive-end "  # what a job prints otherwise is left out
CHUNK = 48_000  # bytes a line


def pack(folder: Path, *, everything: bool = False) -> Iterator[str]:
    """The lines of an archive of a run folder.

    Args:
        folder: of the run.
        everything: whether weights, checkpoints and Ray's own files are in it too.
    """
    left_out = () if everything else ELSEWHERE
    digest = hashlib.sha256()
    with TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            for path in sorted(folder.rglob("*")):
                name = path.relative_to(folder)
                if path.is_file() and not path.is_symlink() and name.parts[0] not in left_out:
                    archive.add(path, arcname=name.as_posix(), recursive=False)
        file.seek(0)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            yield LINE + base64.b64encode(chunk).decode()
    yield END + digest.hexdigest()


def unpack(lines: Iterable[str], target: Path) -> Path:
    """Write what ``pack`` gave into a new folder.

    Args:
        lines: among others.
        target: of the run; must not be there, or be empty.

    Returns:
        ``target``.

    Raises:
        RunExistsError: the folder is there.
        RunNotFoundError: the lines hold no archive.
        RunDamagedError: it is not whole; or a name in it leads out of the folder, or is a link.
    """
    if target.exists() and any(target.iterdir()):
        raise RunExistsError(f"{target} is there already; give another folder")
    digest, expected = hashlib.sha256(), None
    with TemporaryFile() as file:
        for line in lines:
            if line.startswith(LINE):
                chunk = _decoded(line.removeprefix(LINE))
                digest.update(chunk)
                file.write(chunk)
            elif line.startswith(END):
                expected = line.removeprefix(END).strip()
        if expected is None and not file.tell():
            raise RunNotFoundError("what came back holds no run")
        if digest.hexdigest() != expected:
            raise RunDamagedError("the run that came back is not whole; ask for it again")
        file.seek(0)
        _extract(file, target)
    return target


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raise RunDamagedError("the run that came back is not whole; ask for it again") from None


def _extract(file: IO[bytes], target: Path) -> None:
    """Plain files under plain names, and nothing else: first all names are looked at, then something is written."""
    try:
        with tarfile.open(fileobj=file, mode="r:gz") as archive:
            members = archive.getmembers()
            for member in members:
                name = PurePosixPath(member.name)
                if not member.isfile() or name.is_absolute() or ".." in name.parts or "\\" in member.name or not name.parts:
                    raise RunDamagedError(f"the archive holds {member.name!r}, which is no plain file inside the run; refused")
            for member in members:
                path = target / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(member)
                assert content is not None
                path.write_bytes(content.read())
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, RunDamagedError):
            raise
        raise RunDamagedError(f"the archive of the run cannot be read: {error}") from None
