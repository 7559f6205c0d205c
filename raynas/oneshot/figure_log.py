"""``FigureLog``: figures of a training as lines of JSON in the run folder, of which the report is made."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
from pathlib import Path
from typing import Any, TextIO

MAX_ROWS = 500  # of each kind; a longer training leaves some out, all along alike


class FigureLog:
    """Appends figures to a file, a line for each step: ``{"step": 20, "loss": 1.5}``. It is a ``Log``.

    Figures with the same first name are of one kind. Where the file cannot be written, training goes on without it.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._last: dict[str, int] = {}

    def __enter__(self) -> FigureLog:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def begin(self, step: int) -> None:
        """Go on after a step: what is there of later ones will come again, and is dropped.

        The file is written anew. Processes of an earlier start, which may not have ended yet, go on with one that has no name.
        """
        rows = [row for row in _read_rows(self._path) if row["step"] <= step]
        self._last = {_kind(row): row["step"] for row in rows}
        self._close()
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            beside.write_text("".join(_line(row) for row in rows), encoding="utf-8")
            beside.replace(self._path)
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            self._give_up(error)

    def __call__(self, step: int, num_steps: int, figures: dict[str, float]) -> None:
        """Write figures, unless those of the same kind before lie too close. Those of the last step are written always."""
        kind = _kind(figures)
        since = step - self._last.get(kind, -num_steps)
        if self._file is None or (since * MAX_ROWS < num_steps and step < num_steps):
            return
        self._last[kind] = step
        try:
            self._file.write(_line({"step": step, **{name: _short(value) for name, value in figures.items()}}))
            self._file.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        logging.getLogger(__name__).warning("%s cannot be written: %s; training goes on without it", self._path, error)
        self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # what could not be written before cannot be now
                file.close()


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file; none if it is not there. What a kill has cut off is left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and type(row.get("step")) is int:
            rows.append(row)
    return rows


def _kind(figures: dict[str, Any]) -> str:
    return next((name for name in figures if name != "step"), "")


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row) + "\n"


def _short(value: float) -> float | None:
    """Seven digits; ``None`` for what is no finite number, which JSON has no word for."""
    return float(f"{value:.7g}") if math.isfinite(value) else None
