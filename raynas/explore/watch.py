"""``watch``: says so when a searcher takes long to answer. It cannot be ended: it runs in the thread of the search."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from raynas.explore.guarded_searcher import GuardedSearcher

WARN_AFTER = 60.0  # seconds


@contextmanager
def watch(searcher: GuardedSearcher, warn_after: float = WARN_AFTER) -> Iterator[None]:
    """While inside, warn once for each call of the searcher that takes longer than ``warn_after`` seconds."""
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(searcher, warn_after, over), name="raynas-searcher-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(searcher: GuardedSearcher, warn_after: float, over: threading.Event) -> None:
    warned = 0.0
    while not over.wait(min(1.0, warn_after / 4)):
        since = searcher.busy_since
        if since is not None and since != warned and time.monotonic() - since >= warn_after:
            warned = since
            text = "searcher %s has not come back from %s for %.0f s; the search waits for it"
            logging.getLogger(__name__).warning(text, searcher.name, searcher.busy_with, time.monotonic() - since)
