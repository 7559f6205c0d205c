"""The figures of a supernet's training, read from ``supernet.jsonl``. What is drawn of them is in ``training_plot``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raynas.report.axes import Numbers
from raynas.report.quantities import is_number

PROBABILITY = "alpha/"  # then the key, "/", and the candidate's label


@dataclass(frozen=True, slots=True)
class TrainingFigures:
    """Figures by step.

    Attributes:
        rows: for each step, ascending, its figures by name; all of them finite.
    """

    rows: Mapping[int, Mapping[str, float]]

    @property
    def names(self) -> list[str]:
        """Of all figures, in the order in which they first came."""
        return list(dict.fromkeys(name for row in self.rows.values() for name in row))

    def series(self, name: str) -> tuple[Numbers, Numbers]:
        """The steps that have a figure, and its values."""
        pairs = [(step, row[name]) for step, row in self.rows.items() if name in row]
        steps, values = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
        return steps, values


def read_training_figures(path: Path) -> TrainingFigures | None:
    """Read a file; ``None`` if it is not there or holds no figures. Lines that are half-written are left out.

    Of two lines of one step the later one adds to what the earlier says.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return None
    rows: dict[int, dict[str, float]] = {}
    for line in lines:
        row = _read_line(line)
        step = row.pop("step", None)
        if type(step) is int and step >= 0:
            finite = {name: float(value) for name, value in row.items() if is_number(value) and math.isfinite(value)}
            rows.setdefault(step, {}).update(finite)
    rows = {step: rows[step] for step in sorted(rows) if rows[step]}
    return TrainingFigures(rows) if rows else None


def _read_line(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}
