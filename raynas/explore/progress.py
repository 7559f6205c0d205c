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
    """Done, running, failed, rate, best and the time that is left, on one line."""
    state = session.state
    done = state.num_spent - state.num_running
    parts = [f"{done:,}/{session.limits.num_trials:,} trials", f"{state.num_running} running"]
    if state.num_failed:
        parts.append(f"{state.num_failed} failed")
    rate = (done - done_before) / max(seconds, 1e-9)
    parts.append(f"{rate:.1f}/s")
    parts.append(best_so_far(session))
    if rate and not session.done:
        parts.append(f"{clock((session.limits.num_trials - done) / rate)} left")
    return ", ".join(part for part in parts if part)


def best_so_far(session: SearchSession) -> str:
    """The best value, or how many are in the front; nothing if no trial has completed."""
    front, metrics = session.state.front(), session.objective.metrics
    if not front:
        return ""
    if len(metrics) > 1:
        return f"{len(front)} in the front"
    return f"best {metrics[0]} {front[0].metrics[metrics[0]]:.4f}"


def clock(seconds: float) -> str:
    """``1:02:03``, or ``2:03`` if that is all."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
