"""``RunFolder``: where each file of a run is, and how a folder is made, numbered and found again."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow

from raynas.api.working_copy import DRIVER, WorkingCopy, storage_of
from raynas.errors import OptionError, RunDamagedError, RunExistsError, RunNotFoundError
from raynas.storage import Storage, is_uri, plain_place


class RunFolder:
    """One run's folder.

    Args:
        path: the folder; made if it is not there.

    Attributes:
        path: the folder on this machine; of a run that is kept in an object store, a copy (see ``working_copy``).
        storage: where the run is kept, and where workers write: the folder itself, or a URI.
    """

    def __init__(self, path: Path, copy: WorkingCopy | None = None) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path, self.storage = path, copy.storage if copy is not None else storage_of(path)
        self._copy = copy

    @property
    def shown(self) -> str:
        """The run as messages name it."""
        return str(self.result_place)

    @property
    def result_place(self) -> Path | str:
        """What a result says of where its run is."""
        return self.path if self.storage.local_path is not None else self.storage.shown

    def kept(self) -> AbstractContextManager[None]:
        """While a ``with`` block runs, the storage follows what changes here, and is up to date after it.

        Raises:
            RunTakenOverError: another process has gone on with the run.
            RunNotKeptError: the storage cannot be written.
        """
        return self._copy.kept() if self._copy is not None else nullcontext()

    @property
    def registry(self) -> str:
        """The name of the run's weight registry: folders of one name may lie in several places."""
        place = hashlib.sha256(self.storage.place.encode()).hexdigest()[:8]
        return f"{self.path.name}-{place}"

    @property
    def search_space(self) -> Path:
        return self.path / "search_space.json"

    @property
    def trials(self) -> Path:
        return self.path / "trials.parquet"

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    @property
    def best(self) -> Path:
        return self.path / "best.json"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def weights(self) -> str:
        """The place of the registry's mirror."""
        return self.storage.folder("weights").place

    def keep(self, path: Path) -> None:
        """Bring one file to the storage, without driving the run. Raises ``OSError`` if it cannot be written."""
        if self._copy is not None:
            self.storage.write(path.relative_to(self.path).as_posix(), path.read_bytes())

    def read_result(self) -> dict[str, Any]:
        """The figures so far; empty if there are none yet."""
        return read_json(self.result) if self.result.exists() else {}

    def add_result(self, figures: dict[str, Any]) -> None:
        """Add figures to ``result.json``; nested ones are merged."""
        merged = self.read_result()
        for name, value in figures.items():
            known = merged.get(name)
            merged[name] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
        write_json(merged, self.result)

    @classmethod
    def create(cls, storage_path: str | Path, name: str, *, resume: bool = False) -> RunFolder:
        """A new folder, or with ``resume`` one that may be there.

        Args:
            storage_path: the folder of run folders, or its URI: ``s3://bucket/runs``.
            name: of the run.
            resume: whether it may be there.

        Raises:
            RunExistsError: it is there and ``resume`` is not set.
            OptionError: the name is not a plain folder name, or the URI is none that can be opened.
        """
        if not name or Path(name).name != name or name in (".", ".."):
            raise OptionError(f"name is {name!r}; expected a plain folder name")
        storage_path = plain_place(storage_path)
        if is_uri(storage_path):
            return cls._create_there(_opened(storage_path), name, resume=resume)
        path = Path(storage_path) / name
        if path.exists() and any(path.iterdir()) and not resume:
            raise _exists(path)
        return cls(path)

    @classmethod
    def numbered(cls, storage_path: str | Path, stem: str) -> RunFolder:
        """The first free one of ``stem-001``, ``stem-002``, ... Raises ``OptionError`` as ``create`` does."""
        number, storage_path = 1, plain_place(storage_path)
        if not is_uri(storage_path):
            Path(storage_path).mkdir(parents=True, exist_ok=True)
        while True:
            name = f"{stem}-{number:03d}"
            try:
                if is_uri(storage_path):
                    return cls.create(storage_path, name)
                (Path(storage_path) / name).mkdir()
            except FileExistsError:
                number += 1
            else:
                return cls(Path(storage_path) / name)

    @classmethod
    def open(cls, path: str | Path, *, everything: bool = False) -> RunFolder:
        """A folder that is there, by its path or its URI.

        Args:
            path: of the run; what is kept in an object store is copied here.
            everything: whether the copy has weights and checkpoints, too.

        Raises:
            RunNotFoundError: it is not; the message lists runs beside it.
            RunDamagedError: it cannot be copied here.
            OptionError: the URI is none that can be opened.
        """
        path = plain_place(path)
        if is_uri(path):
            place, mark, query = str(path).partition("?")
            parent, _, name = place.rstrip("/").rpartition("/")
            root = _opened(f"{parent}{mark}{query}")
            if _is_there(root, name):
                return cls._copied(root, name, everything=everything)
            beside, where = root.folders(), parent
        else:
            path = Path(path)
            if path.is_dir():
                return cls(path)
            beside = sorted(entry.name for entry in path.parent.glob("*") if entry.is_dir()) if path.parent.is_dir() else []
            where = str(path.parent)
        raise RunNotFoundError(f"there is no run {path}; in {where} there is {', '.join(beside[:8]) or 'nothing'}")

    @classmethod
    def _create_there(cls, root: Storage, name: str, *, resume: bool) -> RunFolder:
        """``create`` in an object store."""
        if _is_there(root, name):
            if not resume:
                raise _exists(root.path(name))
            return cls._copied(root, name)
        try:
            driver = root.folder(name).claim(DRIVER)
        except OSError as error:
            raise OptionError(f"storage {root.shown} cannot be written: {error}") from None
        if driver is None:
            raise _exists(root.path(name))
        copy = WorkingCopy(root, name, driver)
        return cls(copy.path, copy)

    @classmethod
    def _copied(cls, root: Storage, name: str, *, everything: bool = False) -> RunFolder:
        copy = WorkingCopy(root, name)
        try:
            copy.fetch(everything=everything)
        except OSError as error:
            if isinstance(error, RunDamagedError):
                raise
            raise RunDamagedError(f"{root.path(name)} cannot be read: {error}") from error
        return cls(copy.path, copy)


def name_of(place: str | Path) -> str:
    """The name of a run by its path or URI."""
    return Path(str(place).partition("?")[0] if is_uri(place) else place).name


def _exists(shown: str | Path) -> RunExistsError:
    return RunExistsError(f"the run {shown} is there already; take another name, or go on with it by resume=True")


def _opened(place: str | Path) -> Storage:
    """Raises ``OptionError`` if there is no such storage, or no right to see it."""
    storage = Storage(place)
    try:
        storage.names()
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise OptionError(f"storage {storage.shown} cannot be opened: {error}") from None
    return storage


def _is_there(root: Storage, name: str) -> bool:
    run = root.folder(name)
    return bool(run.names() or run.folders())


def read_json(path: Path) -> dict[str, Any]:
    """Read an object. Raises ``RunDamagedError`` naming the file if it is none."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunDamagedError(f"{path} cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise RunDamagedError(f"{path} holds a {type(document).__name__}; expected an object")
    return document


def write_json(document: dict[str, Any], path: Path) -> None:
    """Write an object beside the file and rename: a reader never sees half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    beside.replace(path)
