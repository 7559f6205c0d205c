"""What became of every trial, and the Arrow table made of it. How it is kept on disk while it grows is in ``journal``."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raynas.space import Architecture, Indices

RUNNING, COMPLETED, FAILED, STOPPED, REUSED = "running", "completed", "failed", "stopped", "reused"
_HOST = socket.gethostname()
COLUMNS = ("id", "state", "digest", "architecture", "budget", "start", "end", "node", "attempt", "error")


@dataclass(slots=True)
class TrialRecord:
    """One trial.

    Attributes:
        id: counts from 0, in the order of the proposals.
        architecture: what was evaluated.
        budget: what the searcher asked for, if it did.
        state: ``running``, ``completed``, ``failed``, ``stopped`` or ``reused`` (answered by an earlier trial).
        metrics: what was reported last, in the user's sign.
        start, end: seconds since the epoch.
        node: the machine on which it ran.
        attempt: 1 for the first.
        num_failures: how many attempts failed; those that an interrupted search left are not counted.
        error: the cause of a failure, its first line naming it.
    """

    id: int
    architecture: Architecture
    budget: float | None = None
    state: str = RUNNING
    metrics: dict[str, float] = field(default_factory=dict)
    start: float | None = None
    end: float | None = None
    node: str | None = None
    attempt: int = 1
    num_failures: int = 0
    error: str | None = None


def where(start: float | None, node: str | None) -> dict[str, Any]:
    """When a trial was started and where, as an event keeps it; without a node it was this machine."""
    return {"start": start, "node": node or _HOST}


def trials_table(records: Iterable[TrialRecord]) -> pa.Table:
    """The records as a table: the columns of ``COLUMNS``, then one for each metric that was ever reported."""
    rows = list(records)
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    documents = _Documents()
    clashing = [name for name in names if name in COLUMNS]
    columns = {
        "id": pa.array([row.id for row in rows], pa.int64()),
        "state": pa.array([row.state for row in rows], pa.string()),
        "digest": pa.array([row.architecture.digest for row in rows], pa.string()),
        "architecture": pa.array([documents.of(row.architecture) for row in rows], pa.string()),
        "budget": pa.array([row.budget for row in rows], pa.float64()),
        "start": pa.array([row.start for row in rows], pa.float64()),
        "end": pa.array([row.end for row in rows], pa.float64()),
        "node": pa.array([row.node for row in rows], pa.string()),
        "attempt": pa.array([row.attempt for row in rows], pa.int32()),
        "error": pa.array([row.error for row in rows], pa.string()),
    }
    for name in names:
        column = f"metric_{name}" if name in clashing else name
        columns[column] = pa.array([row.metrics.get(name) for row in rows], pa.float64())
    return pa.table(columns)


def write_trials(records: Iterable[TrialRecord], path: Path) -> pa.Table:
    """Write ``trials.parquet``, beside and renamed, so that a reader never sees half of it; returns the table."""
    table = trials_table(records)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(table, beside)
    beside.replace(path)
    return table


class _Documents:
    """Architectures as JSON on one line. Choices recur from row to row, so each is written once: several times faster."""

    def __init__(self) -> None:
        self._written: dict[tuple[str, Indices], str] = {}

    def of(self, architecture: Architecture) -> str:
        return "{" + ",".join([self._choice(architecture, key, at) for key, at in architecture.indices.items()]) + "}"

    def _choice(self, architecture: Architecture, key: str, at: Indices) -> str:
        text = self._written.get((key, at))
        if text is None:
            choice = json.dumps(architecture[key].to_dict(), separators=(",", ":"), ensure_ascii=False)
            text = self._written[key, at] = f"{json.dumps(key, ensure_ascii=False)}:{choice}"
        return text
