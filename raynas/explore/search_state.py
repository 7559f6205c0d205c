"""``SearchState``: what a search has come to, made from its events and from nothing else.

A live search, a resumed one and a report of one that still runs apply the same events, and so agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from raynas.errors import RunDamagedError
from raynas.explore.history import COMPLETED, FAILED, REUSED, RUNNING, STOPPED, TrialRecord
from raynas.explore.journal import Event, read_events
from raynas.explore.objective import Objective
from raynas.explore.pareto import dominates
from raynas.space import Architecture, SearchSpace

_ENDS = {"finished": COMPLETED, "failed": FAILED, "stopped": STOPPED}


class Told(NamedTuple):
    """What the searcher is to be told: a proposal of its own has ended, with metrics or, ``None``, without a result."""

    parameter_id: int
    architecture: Architecture | None  # None: the proposal was no architecture
    metrics: Mapping[str, float] | None


class SearchState:
    """The sum of the events of one search.

    Args:
        space: what is searched.
        objective: which metrics count.

    Attributes:
        records: every trial by id, reused ones too.
        next_id: of the next proposal.
        num_spent, num_running, num_failed: trials that ran or run; those that run now; those that failed.
        num_forbidden, num_invalid: proposals that the constraint forbade; that were no architecture of the space.
        num_in_a_row, num_invalid_in_a_row: forbidden and reused proposals, and invalid ones, since the last other one.
        num_same_failures, failure: trials in a row that failed with one cause; that cause.
        num_since_best: trials that ended since the best, or the front, last changed.
        initial: ids of the trials that were given and not proposed.
        was_imported: whether results from elsewhere, and whether those of ``initial``, were imported.
    """

    def __init__(self, space: SearchSpace, objective: Objective) -> None:
        self.space, self.objective = space, objective
        self.records: dict[int, TrialRecord] = {}
        self.next_id = self.num_spent = self.num_running = self.num_failed = self.num_forbidden = self.num_invalid = 0
        self.num_in_a_row = self.num_invalid_in_a_row = self.num_same_failures = self.num_since_best = 0
        self.failure = ""
        self.initial: dict[int, None] = {}
        self.was_imported = {"elsewhere": False, "initial": False}
        self._front: list[TrialRecord] = []  # one record, the best, where there is a single objective
        self._by_pair: dict[tuple[str, float | None], int] = {}
        self._sharing: dict[int, list[int]] = {}  # running trial -> proposals that wait for its result

    @classmethod
    def read(cls, folder: Path) -> SearchState:
        """What the journal in a folder says, also while the search runs; nothing is changed there.

        Raises:
            RunDamagedError: there is no journal, or it cannot be read.
        """
        opened, *events = read_events(folder) or [{}]
        if "space" not in opened:
            raise RunDamagedError(f"the journal {folder} does not begin with a search space")
        state = cls(SearchSpace(opened["space"]), Objective(opened["objective"]["metric"], opened["objective"]["mode"]))
        for event in events:
            state.apply(event)
        return state

    def known(self, architecture: Architecture, budget: float | None) -> TrialRecord | None:
        """The trial that ran, or runs, with this architecture and budget."""
        number = self._by_pair.get((architecture.digest, budget))
        return None if number is None else self.records[number]

    def is_running(self, trial_id: int) -> bool:
        """Whether a trial runs, or waits for another one's result."""
        return self.records[trial_id].state == RUNNING

    def running(self) -> list[TrialRecord]:
        """Trials that run; not those that wait for another one's result."""
        waiting = {number for numbers in self._sharing.values() for number in numbers}
        return [record for record in self.records.values() if record.state == RUNNING and record.id not in waiting]

    def completed(self) -> list[TrialRecord]:
        """Trials that ended with a result of their own, by id."""
        return [record for record in self.records.values() if record.state == COMPLETED]

    def best(self) -> TrialRecord | None:
        """The completed trial with the best value, the earliest of equals. Raises ``OptionError`` for several objectives."""
        if len(self.objective.metrics) > 1:
            self.objective.scalar({})
        return self._front[0] if self._front else None

    def front(self) -> list[TrialRecord]:
        """The completed trials that no other one dominates, by id; of equal ones the earliest."""
        return sorted(self._front, key=lambda record: record.id)

    def summary(self) -> str:
        """What runs, what failed and the best value (of several objectives, the size of the front), on one line."""
        parts = [f"{self.num_running} running"]
        if self.num_failed:
            parts.append(f"{self.num_failed} failed")
        if self._front and len(self.objective.metrics) == 1:
            metric = self.objective.metrics[0]
            parts.append(f"best {metric} {self._front[0].metrics[metric]:.4f}")
        elif self._front:
            parts.append(f"{len(self._front)} in the front")
        return ", ".join(parts)

    def apply(self, event: Event, architecture: Architecture | None = None) -> list[Told]:
        """Take one event into account.

        Args:
            event: as the journal keeps it.
            architecture: that of a proposal, where it is at hand; else it is read from the event.

        Raises:
            RunDamagedError: there is no such kind of event.
        """
        kind = event["event"]
        if kind == "proposed":
            return self._proposed(event, architecture or Architecture.from_row(self.space, event["choices"]))
        if kind in _ENDS:
            return self._ended(event)
        if kind == "reported":
            self.records[event["id"]].metrics = event["metrics"]
        elif kind == "retried":
            record = self.records[event["id"]]
            record.attempt, record.metrics = record.attempt + 1, {}
            record.num_failures += not event["interrupted"]
        elif kind == "invalid":
            self.next_id, self.num_invalid = event["id"] + 1, self.num_invalid + 1
            self.num_invalid_in_a_row += 1
            return [Told(event["id"], None, None)]
        elif kind == "imported":
            self.was_imported[event["from"]] = True
        elif kind != "opened":
            raise RunDamagedError(f"the journal holds an event of the unknown kind {kind!r}; it was written by a newer raynas")
        return []

    def imported(self, event: Event) -> list[dict[str, Any]]:
        """What an event of the kind ``imported`` tells the searcher: ``{"parameter": ..., "value": ...}`` each."""
        if event["from"] == "initial":
            known = [(record.architecture, record.metrics) for record in self.completed() if record.id in self.initial]
        else:
            read = Architecture.from_row
            known = [(read(self.space, each["choices"]), each["metrics"]) for each in event["results"]]
        return [{"parameter": architecture, "value": self.objective.value(metrics)} for architecture, metrics in known]

    def _proposed(self, event: Event, architecture: Architecture) -> list[Told]:
        record = TrialRecord(event["id"], architecture, event["budget"], start=event["time"])
        self.next_id = record.id + 1
        self.num_invalid_in_a_row = 0
        outcome, of = event["outcome"], event["of"]
        self.num_in_a_row = 0 if outcome == "run" else self.num_in_a_row + 1
        if outcome == "forbidden":
            self.num_forbidden += 1
            return [Told(record.id, architecture, None)]
        self.records[record.id] = record
        if event.get("initial"):
            self.initial[record.id] = None
        if outcome == "run":
            self.num_spent += 1
            self.num_running += 1
            self._by_pair[architecture.digest, record.budget] = record.id
        elif outcome == "shared":
            self._sharing.setdefault(of, []).append(record.id)
        else:
            return self._answer(record, self.records[of])
        return []

    def _ended(self, event: Event) -> list[Told]:
        record = self.records[event["id"]]
        record.state = _ENDS[event["event"]]
        record.metrics = event.get("metrics", {})
        record.error = event.get("error")
        record.start, record.end, record.node = event.get("start") or record.start, event["time"], event["node"]
        self.num_running -= 1
        self.num_failed += record.state == FAILED
        self.num_since_best += 1
        self._count_failures(record)
        if record.state == COMPLETED:
            self._place(record)
        told = self._told(record)
        for waiting in self._sharing.pop(record.id, []):
            told += self._answer(self.records[waiting], record)
        return told

    def _answer(self, record: TrialRecord, known: TrialRecord) -> list[Told]:
        """Answer a proposal from the history: no trial is spent."""
        record.state, record.metrics, record.error = REUSED, known.metrics, known.error
        record.end, record.node = record.start, known.node
        return self._told(record, success=known.state == COMPLETED)

    def _told(self, record: TrialRecord, *, success: bool | None = None) -> list[Told]:
        if record.id in self.initial:
            return []  # the searcher did not propose it; it learns of these all at once
        success = record.state == COMPLETED if success is None else success
        return [Told(record.id, record.architecture, record.metrics if success else None)]

    def _count_failures(self, record: TrialRecord) -> None:
        cause = record.error.splitlines()[0] if record.error else ""
        same = bool(cause) and cause == self.failure
        self.num_same_failures = self.num_same_failures + 1 if same else int(bool(cause))
        self.failure = cause

    def _place(self, record: TrialRecord) -> None:
        """Among the best, if it belongs there."""
        point = self._point(record)
        for other in self._front:
            held = self._point(other)
            if dominates(held, point) or (held == point and other.id < record.id):
                return
        self._front = [other for other in self._front if not _gives_way(self._point(other), point)]
        self._front.append(record)
        self.num_since_best = 0

    def _point(self, record: TrialRecord) -> Sequence[float]:
        return self.objective.point(record.metrics)


def _gives_way(held: Sequence[float], point: Sequence[float]) -> bool:
    return held == point or dominates(point, held)
