"""``ProgressBoard``: figures from a worker to the driver as they come, past Train's reports, which wait for their turn."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import ray

from raynas.oneshot import Log

LOOK_SECONDS = 5.0  # that a look for new rows may take
LAST_SECONDS = 60.0  # and the last one, after which there is none


@dataclass(frozen=True)
class Row:
    """Figures after a step.

    Attributes:
        step: how many are done.
        num_steps: how many there will be.
        figures: by name; empty where a worker begins, or goes on, after this step.
    """

    step: int
    num_steps: int
    figures: dict[str, float]


class ProgressBoard:
    """Holds the rows that the driver has not fetched yet, and the error that ended the training if one did."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque()
        self._num_fetched = 0
        self._failure: Exception | None = None
        self._notes: list[tuple[int, str]] = []

    def put(self, row: Row) -> None:
        self._rows.append(row)

    def fetch(self, num_seen: int) -> list[Row]:
        """The rows after the first ``num_seen``, which are forgotten. Asked again, if an answer got lost, it gives the same."""
        while self._num_fetched < num_seen:
            self._rows.popleft()
            self._num_fetched += 1
        return list(self._rows)

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
    """Hands on every row, and logs what is noted, from a thread of its own while a ``with`` block runs; the last as it ends.

    Args:
        board: a handle of a ``ProgressBoard``.
        begin: called with the step where a worker begins, or goes on.
        log: called with all other rows.
        every: seconds between two looks.
    """

    def __init__(self, board: Any, begin: Callable[[int], None], log: Log, every: float = 0.3) -> None:
        self._board, self._begin, self._log, self._every = board, begin, log, every
        self._num_seen = 0
        self._stopped = threading.Event()
        self._failure: Exception | None = None  # of ``begin`` or ``log``: a disk that is full
        self._thread = threading.Thread(target=self._watch, name="raynas-progress", daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()
        if self._failure is None and not self._look(LAST_SECONDS if kind is None else LOOK_SECONDS):
            logging.getLogger(__name__).warning("the last figures of the training were lost: its board does not answer")
        if self._failure is not None and kind is None:
            raise self._failure

    def _watch(self) -> None:
        try:
            while not self._stopped.wait(self._every):
                self._look(LOOK_SECONDS)  # whatever ails the cluster shows where the work is, and the next look brings the rows
        except Exception as error:
            self._failure = error

    def _look(self, seconds: float) -> bool:
        """Hand on what is new. Gives whether the board answered."""
        try:
            rows, notes = ray.get([self._board.fetch.remote(self._num_seen), self._board.take_notes.remote()], timeout=seconds)
        except (ray.exceptions.RayError, ConnectionError, SystemError):
            return False
        for level, text in notes:
            logging.getLogger(__name__).log(level, "%s", text)
        self._num_seen += len(rows)
        for row in rows:
            if row.figures:
                self._log(row.step, row.num_steps, row.figures)
            else:
                self._begin(row.step)
        return True
