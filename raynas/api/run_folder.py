"""``RunFolder``: where each file of a run is, and how a folder is made, numbered and found again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from raynas.errors import OptionError, RunDamagedError, RunExistsError, RunNotFoundError


class RunFolder:
    """One run's folder.

    Args:
        path: the folder; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path

    @property
    def registry(self) -> str:
        """The name of the run's weight registry: folders of one name may lie in several places."""
        place = hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:8]
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
    def weights(self) -> Path:
        return self.path / "weights"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

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

        Raises:
            RunExistsError: it is there and ``resume`` is not set.
            OptionError: the name is not a plain folder name, or the storage is no folder.
        """
        _check_place(storage_path)
        if not name or Path(name).name != name or name in (".", ".."):
            raise OptionError(f"name is {name!r}; expected a plain folder name")
        path = Path(storage_path) / name
        if path.exists() and any(path.iterdir()) and not resume:
            raise RunExistsError(f"the run {path} is there already; take another name, or go on with it by resume=True")
        return cls(path)

    @classmethod
    def numbered(cls, storage_path: str | Path, stem: str) -> RunFolder:
        """The first free one of ``stem-001``, ``stem-002``, ... Raises ``OptionError`` as ``create`` does."""
        _check_place(storage_path)
        Path(storage_path).mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            path = Path(storage_path) / f"{stem}-{number:03d}"
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
            else:
                return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """A folder that is there.

        Raises:
            RunNotFoundError: it is not; the message lists runs beside it.
        """
        path = Path(path)
        if not path.is_dir():
            beside = sorted(entry.name for entry in path.parent.glob("*") if entry.is_dir()) if path.parent.is_dir() else []
            listed = ", ".join(beside[:8]) or "nothing"
            raise RunNotFoundError(f"there is no run {path}; in {path.parent} there is {listed}")
        return cls(path)


def _check_place(storage_path: str | Path) -> None:
    if "://" in str(storage_path):
        raise OptionError(
            f"storage is {str(storage_path)!r}; a run needs a folder: mount the bucket, or take a file system that all "
            "machines share. Weights alone can be mirrored there: raynas.WeightRegistry(name, storage_path=...)"
        )


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
