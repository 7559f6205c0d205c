"""``SavedFiles``: what one trial keeps, replaced as a whole: a folder on a disk, one archive in an object store."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import weakref
from pathlib import Path
from typing import IO

from raynas.errors import RunDamagedError
from raynas.storage import Storage


class SavedFiles:
    """The files of one trial.

    Args:
        checkpoints: where those of all trials are: ``00003/`` is the folder of trial 3; an object store, which cannot rename
            folders, has ``00003.tar``.
        trial_id: of the trial.
    """

    def __init__(self, checkpoints: Storage, trial_id: int) -> None:
        self._checkpoints, self._name = checkpoints, f"{trial_id:05d}"

    def save(self, source: Path) -> None:
        """Keep a file, or all that is in a folder, in place of what was kept before.

        Raises:
            OSError: it cannot be read or written.
        """
        root = self._checkpoints.local_path
        if root is None:
            self._checkpoints.write_durably(f"{self._name}.tar", lambda file: _pack(source, file))
            return
        folder, beside = root / self._name, root / f".{self._name}.new"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        if source.is_dir():
            shutil.copytree(source, beside, dirs_exist_ok=True)
        else:
            shutil.copy2(source, beside)
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)

    def load(self) -> Path | None:
        """The folder with what was kept last, ``None`` if nothing was. That of an object store is a copy, which is gone
        when this object is.

        Raises:
            RunDamagedError: the archive cannot be read, or names something outside of it.
        """
        root = self._checkpoints.local_path
        if root is not None:
            folder = root / self._name
            return folder if folder.is_dir() else None
        name = f"{self._name}.tar"
        if not self._checkpoints.exists(name):
            return None
        copy = tempfile.mkdtemp(prefix="raynas-")
        weakref.finalize(self, shutil.rmtree, copy, ignore_errors=True)
        try:
            with self._checkpoints.fetched(name) as path, tarfile.open(path) as archive:
                archive.extractall(copy, filter="data")
        except tarfile.TarError as error:
            raise RunDamagedError(f"{self._checkpoints.path(name)} cannot be read: {error}") from None
        return Path(copy)


def _pack(source: Path, file: IO[bytes]) -> None:
    with tarfile.open(fileobj=file, mode="w", dereference=True) as archive:
        archive.add(source, arcname="." if source.is_dir() else source.name)
