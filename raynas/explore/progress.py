"""``ProgressLine``: one live line about a search, for a terminal. The command line has a display of its own."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from raynas.explore.session import SearchSession

REFRESH = 0.2  # seconds


class ProgressLine:
    """Writes the line over itself, at most five times a second, and a last one that stays.

    Args:
        stream: where to; standard error if ``None``.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._start = self._last = time.monotonic()
        self._done_before: int | None = None
        self._width = 0

    def __call__(self, session: SearchSession) -> None:
        """Something has happened in the search."""
        if self._done_before is None:
            self._done_before = session.num_spent - session.num_running  # of an earlier life
        if time.monotonic() - self._last >= REFRESH:
            self._write(session, "")

    def close(self, session: SearchSession) -> None:
        """The search is over: the line stays."""
        self._write(session, "\n")

    def _write(self, session: SearchSession, end: str) -> None:
        self._last = time.monotonic()
        text = summary(session, self._last - self._start, self._done_before or 0)
        self._stream.write(f"\r{text:<{self._width}}{end}")
        self._stream.flush()
        self._width = len(text)


def summary(session: SearchSession, seconds: float, done_before: int = 0) -> str:
    """Done, running, failed, best, rate and the time that is left, on one line."""
    state, total = session.state, session.limits.num_trials
    done = state.num_spent - state.num_running
    rate = (done - done_before) / max(seconds, 1e-9)
    parts = [f"{done:,}/{total:,} trials", state.summary(), f"{rate:.1f}/s"]
    if rate and not session.done:
        parts.append(f"{clock((total - done) / rate)} left")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """``1:02:03``, or ``2:03`` if that is all."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
