"""``Lease``: a version that is in use, and so is not dropped. It ends by itself when its process does."""

from __future__ import annotations

import threading
from types import TracebackType

from raynas.weights.store import ShardStore

SECONDS = 120.0  # that a version stays after its user's last sign of life


class Lease:
    """Keeps a version until it is closed; a context manager that gives the version.

    Args:
        store: that holds it.
        version: which one.

    Raises:
        UnknownVersionError: it is not there.
    """

    def __init__(self, store: ShardStore, version: int) -> None:
        self.version = version
        self._store, self._closed = store, threading.Event()
        self._name = store.lease(version, SECONDS)
        self._thread = threading.Thread(target=self._keep, name="raynas-lease", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """The version is not needed any more."""
        if not self._closed.is_set():
            self._closed.set()
            self._thread.join()
            self._store.release(self._name)

    def __enter__(self) -> int:
        return self.version

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _keep(self) -> None:
        while not self._closed.wait(SECONDS / 4):
            try:
                self._store.renew(self._name, self.version, SECONDS)
            except Exception:  # the store is gone for the moment, or for good: there is nobody here to tell
                continue
