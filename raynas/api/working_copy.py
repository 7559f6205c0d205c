"""``WorkingCopy``: a run folder on this machine, of a run that is kept in an object store; what changes is brought there.

Files that change in place, such as the journal, need a disk. So whoever drives a run has such a copy in a folder of its own,
and what is in it follows to the storage a few seconds later. What workers write, and what is large, goes there at once and is
not in the copy: weights, checkpoints, Ray's own files.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from raynas.errors import RunDamagedError, RunNotKeptError, RunTakenOverError
from raynas.storage import Storage

ELSEWHERE = ("checkpoints", "weights", ".ray")  # folders that are in the storage alone
DRIVER = "driver-"  # a file of this name says who drives the run
PUSH_EVERY = 2.0  # seconds
MAX_SHARE = 0.05  # of the time that goes into it
_PLACE = ".raynas-place"

State = tuple[int, int]  # of a file: when it was changed, in nanoseconds, and its size


class WorkingCopy:
    """A copy of one run. It is removed when this object is, or the process ends, unless its storage could not be written.

    Args:
        root: the storage of several runs.
        name: of the run in it.
        driver: the file in the run's storage by which this process has claimed it; ``None`` if it has not yet.

    Attributes:
        path: the folder.
        storage: where the run is kept.
    """

    def __init__(self, root: Storage, name: str, driver: str | None = None) -> None:
        scratch = tempfile.mkdtemp(prefix="raynas-run-")
        self._remove = weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
        (Path(scratch) / _PLACE).write_text(root.place, encoding="utf-8")
        self.path, self.storage = Path(scratch) / name, root.folder(name)
        self.path.mkdir()
        self._driver = driver
        self._pushed: dict[str, State] = {}
        self._stopped = threading.Event()

    def fetch(self, *, everything: bool = False) -> None:
        """Bring here what is kept; with ``everything`` what is there alone, too. Raises ``OSError`` if it cannot be read."""
        for name in _files_of(self.storage, everything=everything):
            target = self.path / name
            if not target.resolve().is_relative_to(self.path.resolve()):
                raise RunDamagedError(f"{self.storage.shown} holds {name!r}, which leads out of the run; refused")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.storage.read(name))
            if _belongs_here(name):
                self._pushed[name] = _state(target)

    def push(self) -> None:
        """Bring to the storage what has changed, in the order in which it has: of what is there, nothing says more than is.

        Raises:
            RunTakenOverError: another process drives the run now.
            OSError: it cannot be written.
        """
        found = self._files()
        changed = [name for name, state in found.items() if self._pushed.get(name) != state]
        for name in sorted(changed, key=lambda name: found[name]):
            try:
                content = (self.path / name).read_bytes()
            except FileNotFoundError:  # renamed meanwhile, and there under its new name
                continue
            self._check_mine()
            self.storage.write(name, content)
            self._pushed[name] = found[name]
        for name in set(self._pushed) - set(found):
            self._check_mine()
            self.storage.delete(name)
            del self._pushed[name]

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Drive the run: the storage follows while a ``with`` block runs, and is up to date after it.

        Raises:
            RunTakenOverError: another process drives the run now, which the storage then follows.
            RunNotKeptError: the storage cannot be written; the copy stays, and the message names it.
        """
        self._take_over()
        self._stopped.clear()
        thread = threading.Thread(target=self._follow, name="raynas-push", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()
            self._push_last()

    def _follow(self) -> None:
        warned, wait = False, PUSH_EVERY
        while not self._stopped.wait(wait):
            start = time.monotonic()
            try:
                self.push()
                warned = False
            except RunTakenOverError as error:
                logging.getLogger(__name__).error("%s", error)
                return
            except OSError as error:
                if not warned:
                    logging.getLogger(__name__).warning("%s cannot be written: %s; the run goes on", self.storage.shown, error)
                warned = True
            wait = max(PUSH_EVERY, (time.monotonic() - start) / MAX_SHARE)

    def _push_last(self) -> None:
        try:
            self.push()
            self._check_mine()
            self.storage.delete(self._driver or "")
            self._driver = None
        except OSError as error:
            self._remove.detach()
            raise RunNotKeptError(f"{self.storage.shown} cannot be written: {error}; the run is in {self.path}") from error

    def _take_over(self) -> None:
        """From now on whoever drove the run before is refused: it may have been cut off, and come back."""
        if self._driver is None:
            self._driver = f"{DRIVER}{uuid.uuid4().hex}"
            self.storage.write(self._driver, b"")
        others = [name for name in self.storage.names() if name.startswith(DRIVER) and name != self._driver]
        for name in others:
            self.storage.delete(name)
        if others:
            self.fetch()  # what they have brought since this copy was made

    def _check_mine(self) -> None:
        if self._driver is not None and not self.storage.exists(self._driver):
            raise RunTakenOverError(
                f"{self.storage.shown} is driven by another process now; what this one does is no longer kept"
            )

    def _files(self) -> dict[str, State]:
        """The files that the storage has to have too."""
        found = {}
        for path in self.path.rglob("*"):
            name = path.relative_to(self.path).as_posix()
            if _belongs_here(name) and path.is_file() and not path.is_symlink():
                with suppress(FileNotFoundError):  # renamed meanwhile
                    found[name] = _state(path)
        return found


def storage_of(path: Path) -> Storage:
    """Where a run folder on this machine is kept: in the folder itself, unless it is, or lies in, a working copy."""
    path = path.absolute()
    for parent in path.parents:
        place = parent / _PLACE
        if place.is_file():
            return Storage(place.read_text(encoding="utf-8")).folder(path.relative_to(parent).as_posix())
    return Storage(path.resolve())


def _files_of(storage: Storage, folder: str = "", *, everything: bool) -> Iterator[str]:
    """The names of the files in a run's storage."""
    within = f"{folder}/" if folder else ""
    yield from (f"{within}{name}" for name in storage.names(folder) if not name.startswith(DRIVER))
    for name in storage.folders(folder):
        if everything or _belongs_here(name):
            yield from _files_of(storage, f"{within}{name}", everything=everything)


def _belongs_here(name: str) -> bool:
    """Whether a working copy has a file of this name."""
    return not any(part in ELSEWHERE or part.startswith(".") for part in name.split("/"))


def _state(path: Path) -> State:
    found = path.stat()
    return found.st_mtime_ns, found.st_size
