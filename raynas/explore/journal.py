"""The journal: every event of a search, on disk before anyone acts on it.

A row of segments, one JSON object a line. Closed segments (``000001.jsonl``) never change again; the open one
(``000002.open.jsonl``) is appended to, so that a killed process loses at most the line it was writing. Beside them lies
``state.json``: the searcher's ``state_dict`` with the number of events that it has seen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raynas.errors import RunDamagedError

Event = dict[str, Any]
SEGMENT_EVENTS = 10_000
_CLOSED, _OPEN = ".jsonl", ".open.jsonl"


class Journal:
    """Appends events to a folder and reads them back.

    Args:
        folder: made if it is not there.
        segment_events: how many events a segment holds before it is closed.
        about: what else the first event says of the search, and what must be the same when it goes on.

    Attributes:
        events: those that were in the folder when it was opened.
        num_events: how many there are now.

    Raises:
        RunDamagedError: a line other than the last one is not JSON.
    """

    def __init__(self, folder: Path, segment_events: int = SEGMENT_EVENTS, *, about: Mapping[str, Any] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.about = dict(about or {})
        self._folder, self._segment_events = folder, segment_events
        closed = [path for path in _segments(folder) if not path.name.endswith(_OPEN)]
        self.events = [event for path in closed for event in _read_lines(path, whole=True)]
        self._segment = len(closed) + 1
        path = folder / f"{self._segment:06d}{_OPEN}"
        left_open = _read_lines(path, whole=False) if path.exists() else []
        self.events += left_open
        self.num_events, self._in_segment = len(self.events), len(left_open)
        self._file = path.open("ab", buffering=0)

    def append(self, event: Event) -> None:
        """Write one event; when this returns it survives the death of the process."""
        line = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        if self._file.write(line) != len(line):
            raise RunDamagedError(f"the disk took only part of an event of {self._folder}; free some room and resume")
        self.num_events += 1
        self._in_segment += 1
        if self._in_segment >= self._segment_events:
            self._next_segment()

    def store_state(self, state: dict[str, Any]) -> None:
        """Keep the searcher's state as of now. Raises ``TypeError`` or ``ValueError`` where it is not JSON."""
        beside = self._folder / f".state.{os.getpid()}"
        beside.write_text(json.dumps({"event": self.num_events, "state": state}, allow_nan=False), encoding="utf-8")
        beside.replace(self._folder / "state.json")

    def load_state(self) -> tuple[int, dict[str, Any] | None]:
        """The number of events that the stored state has seen, and the state; ``(0, None)`` where there is none."""
        path = self._folder / "state.json"
        if not path.exists():
            return 0, None
        try:
            stored = json.loads(path.read_bytes())
            event, state = int(stored["event"]), stored["state"]
        except (ValueError, KeyError, TypeError):
            return 0, None  # replaying from the start gives the same
        return (event, state) if event <= len(self.events) else (0, None)

    def close(self) -> None:
        """Close the file; the journal can be opened again."""
        self._file.close()

    def _next_segment(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()
        path = self._folder / f"{self._segment:06d}{_OPEN}"
        path.rename(self._folder / f"{self._segment:06d}{_CLOSED}")
        self._segment += 1
        self._in_segment = 0
        self._file = (self._folder / f"{self._segment:06d}{_OPEN}").open("ab", buffering=0)


def read_events(folder: Path) -> list[Event]:
    """The events of a journal that someone else may be writing; nothing is changed.

    Raises:
        RunDamagedError: there is no journal, or a line other than the last one is not JSON.
    """
    for attempt in range(5):
        paths = _segments(folder)
        if not paths:
            raise RunDamagedError(f"{folder} holds no journal of a search")
        try:
            return [event for path in paths for event in _read_lines(path, whole=not path.name.endswith(_OPEN), mend=False)]
        except FileNotFoundError:
            if attempt == 4:  # the writer has just closed a segment, which renames it
                raise
    raise AssertionError("unreachable")


def _segments(folder: Path) -> list[Path]:
    """The segments in their order.

    A copy of a journal that goes on may have a segment twice, as it was while it was open and as it was closed: the latter
    counts.

    Raises:
        RunDamagedError: a closed segment is missing, or one lies behind the open one.
    """
    names = {path.name for path in folder.glob(f"*{_CLOSED}")}
    found = sorted(name for name in names if not name.endswith(_OPEN) or name.replace(_OPEN, _CLOSED) not in names)
    num_closed = sum(not name.endswith(_OPEN) for name in found)
    row = {f"{number:06d}{_CLOSED}" for number in range(1, num_closed + 1)} | {f"{num_closed + 1:06d}{_OPEN}"}
    beside = [name for name in found if name not in row]
    if beside:
        raise RunDamagedError(f"a segment before {folder / beside[0]} is missing; restore it from a backup")
    return [folder / name for name in found]


def _read_lines(path: Path, whole: bool, *, mend: bool = True) -> list[Event]:
    """The events of a segment; a torn last line of an open one is left out, and with ``mend`` cut off the file."""
    data = path.read_bytes()
    lines = data.split(b"\n")
    tail = lines.pop()
    if tail:
        if whole:
            raise RunDamagedError(f"{path} ends in the middle of an event; restore it from a backup")
        if mend:
            with path.open("r+b") as file:
                file.truncate(len(data) - len(tail))
    events = []
    for number, line in enumerate(lines, 1):
        try:
            events.append(json.loads(line))
        except ValueError:
            raise RunDamagedError(f"{path}, line {number} is not JSON; restore it from a backup") from None
    return events
