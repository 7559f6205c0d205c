"""``ProgressBoard``: live figures from a worker to the driver, past Train's reports, which wait for their turn."""

from __future__ import annotations

import logging
import threading
from typing import Any

import ray

from raynas.oneshot import Log


class ProgressBoard:
    """Holds the latest figures, and the error that ended the training if one did."""

    def __init__(self) -> None:
        self._latest: tuple[int, int, dict[str, float]] | None = None
        self._failure: Exception | None = None
        self._notes: list[tuple[int, str]] = []

    def put(self, done: int, total: int, figures: dict[str, float]) -> None:
        self._latest = (done, total, figures)

    def get(self) -> tuple[int, int, dict[str, float]] | None:
        return self._latest

    def fail(self, failure: Exception) -> None:
        """Leave the error that ends the training; the first one counts."""
        self._failure = self._failure or failure

    def failure(self) -> Exception | None:
        return self._failure

    def note(self, level: int, text: str) -> None:
        """Leave a line for the driver's log."""
        self._notes.append((level, text))

    def take_notes(self) -> list[tuple[int, str]]:
        """The lines since this was last called."""
        notes, self._notes = self._notes, []
        return notes


class Watcher:
    """Calls ``on_progress``, and logs what is noted, from a thread of its own while a ``with`` block runs.

    Args:
        board: a handle of a ``ProgressBoard``.
        on_progress: called when there is something new.
        every: seconds between two looks.
    """

    def __init__(self, board: Any, on_progress: Log, every: float = 0.3) -> None:
        self._board, self._on_progress, self._every = board, on_progress, every
        self._seen: tuple[int, int, dict[str, float]] | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="raynas-progress", daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        self._thread.join(timeout=5)

    def _watch(self) -> None:
        while not self._stopped.wait(self._every):
            self._look()
        self._look()

    def _look(self) -> None:
        try:
            latest, notes = ray.get([self._board.get.remote(), self._board.take_notes.remote()], timeout=5)
        except (ray.exceptions.RayError, ConnectionError, SystemError):
            return  # progress is a courtesy: whatever ails the cluster shows where the work is
        for level, text in notes:
            logging.getLogger(__name__).log(level, "%s", text)
        if latest is not None and latest != self._seen:
            self._seen = latest
            self._on_progress(*latest)
