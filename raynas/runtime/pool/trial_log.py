"""``TrialLog``: which trial a process has begun and which it has ended, where it outlives the process. Not the journal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynas.explore import Outcome

MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial that has ended.

    Attributes:
        trial_id, attempt: which; a trial that is run again may come to the same process.
        outcome: how.
        start: seconds since the epoch.
        seconds: how long it took.
    """

    trial_id: int
    attempt: int
    outcome: Outcome
    start: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Left:
    """What a process left: the trials that it ended lately, and the one that it was at, ``None`` if it was at none."""

    ended: list[Ended]
    running: int | None


class TrialLog:
    """Written by the process that evaluates, a line when a trial begins and one when it ends.

    A line is with the operating system when a method returns, so it outlives the process, though not the machine.

    Args:
        path: of the file, which is this process's alone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=0)
        self._size = 0

    def begin(self, trial_id: int) -> None:
        """A trial is about to begin."""
        if self._size > MOST_BYTES:
            self._renew()
        self._write(trial_id)

    def end(self, ended: Ended) -> None:
        """It has ended."""
        outcome = ended.outcome
        told = [outcome.metrics, outcome.error, outcome.stopped]
        self._write([ended.trial_id, ended.attempt, ended.start, ended.seconds, *told])

    def close(self) -> None:
        """The process ends by itself, and leaves nothing."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _write(self, entry: Any) -> None:
        self._size += self._file.write(json.dumps(entry).encode() + b"\n")

    def _renew(self) -> None:
        """Begin anew, in one step: what has ended is known elsewhere by now, but for the last few."""
        beside = self._path.with_suffix(".new")
        self._file.close()
        self._file, self._size = beside.open("wb", buffering=0), 0
        beside.replace(self._path)


def take_trial_log(path: Path) -> Left:
    """What a process left that is gone; the file goes too."""
    ended: list[Ended] = []
    running: int | None = None
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return Left([], None)
    path.unlink(missing_ok=True)
    for line in lines[:-1]:  # after the last newline there is nothing, or half a line
        entry = json.loads(line)
        if isinstance(entry, int):
            running = entry
        else:
            trial_id, attempt, start, seconds, *told = entry
            ended.append(Ended(trial_id, attempt, Outcome(*told), start, seconds))
            running = None
    return Left(ended, running)
