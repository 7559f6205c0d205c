"""``Lease``: a version that is in use, and so is not dropped. It ends by itself when its process does."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType

from raynas.weights.store import ShardStore

SECONDS = 120.0  # that a version stays after its user's last sign of life


class Lease:
    """Keeps a version until it is closed, or nobody refers to it; a context manager that gives the version.

    Args:
        store: that holds it.
        version: which one.

    Raises:
        UnknownVersionError: it is not there.
    """

    def __init__(self, store: ShardStore, version: int) -> None:
        self.version = version
        self._closed = threading.Event()
        arguments = (store, store.lease(version, SECONDS), version, self._closed)
        self._thread = threading.Thread(target=_keep, args=arguments, name="raynas-lease", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """The version is not needed any more."""
        self._closed.set()
        self._thread.join()

    def __enter__(self) -> int:
        return self.version

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if "_closed" in vars(self):
            self._closed.set()


def _keep(store: ShardStore, name: str, version: int, closed: threading.Event) -> None:
    """Renew a lease until it is closed. The thread does not know the ``Lease``, which may so be forgotten."""
    with suppress(Exception):  # the store may be gone, for the moment or for good, and there is nobody here to tell
        while not closed.wait(SECONDS / 4):
            with suppress(Exception):
                store.renew(name, version, SECONDS)
        store.release(name)
