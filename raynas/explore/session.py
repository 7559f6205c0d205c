"""``SearchSession`` mediates between a searcher and whatever runs the trials.

It asks the searcher, keeps the constraint, answers duplicates, counts, writes the journal ahead, and tells results.
Engines call ``ask``, ``tell``, ``fail`` and ``stop``, and nothing about a run lives in them alone.

Everything that happens is an event: it is journaled, then applied. Resuming applies the journal's events again; so a live
run and a resumed one go through the same lines.
"""

from __future__ import annotations

import socket
import time
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raynas.errors import NoMoreTrials, OptionError, RaynasError, RunExistsError, SearcherError, SearchStoppedError
from raynas.explore.guarded_searcher import GuardedSearcher
from raynas.explore.history import COMPLETED, FAILED, REUSED, RUNNING, STOPPED, TrialRecord
from raynas.explore.journal import Event, Journal
from raynas.explore.objective import Objective
from raynas.explore.searcher import Constraint, Proposal
from raynas.space import Architecture, SearchSpace

MAX_IN_A_ROW = 1_000  # forbidden and reused proposals without a new one between them
STATE_EVERY = 200  # events


@dataclass(frozen=True)
class SearchLimits:
    """When a search is over, and what it may not run.

    Attributes:
        num_trials: how many trials are spent; reused and forbidden proposals spend none.
        constraint: which architectures may be evaluated; ``None`` allows all.
        repeat: whether a pair of architecture and budget may run twice.
        max_same_failures: how many failures with one cause in a row end the search.
    """

    num_trials: int
    constraint: Constraint | None = None
    repeat: bool = False
    max_same_failures: int = 5


class SearchSession:
    """One search, from its first proposal to its last result. Used from one thread.

    Args:
        searcher: anything with the tuner protocol.
        space: what is searched.
        objective: which metrics count.
        limits: when the search is over.
        journal: where events are kept; events that it holds already are replayed. ``None`` keeps nothing.
        on_event: called after each event, for progress.

    Attributes:
        records: every trial by id, reused ones too.
        done: whether nothing new will be proposed.
        error: why the search ended early, ``None`` if it did not.
        num_spent, num_forbidden: trials that ran or run; proposals that the constraint forbade.

    Raises:
        RunExistsError: the journal belongs to another space or objective.
    """

    def __init__(
        self,
        searcher: Any,
        space: SearchSpace,
        objective: Objective,
        *,
        limits: SearchLimits,
        journal: Journal | None = None,
        on_event: Callable[[SearchSession], None] | None = None,
    ) -> None:
        self.space, self.objective, self.limits = space, objective, limits
        self.records: dict[int, TrialRecord] = {}
        self.done, self.error = False, None  # type: bool, RaynasError | None
        self.num_spent = self.num_forbidden = self.num_running = 0
        self._journal, self._on_event = journal, on_event
        self._next_id = 0
        self._by_pair: dict[tuple[str, float | None], int] = {}
        self._sharing: dict[int, list[int]] = {}  # running trial -> proposals that wait for its result
        self._run_again: deque[TrialRecord] = deque()
        self._num_in_a_row = 0  # proposals since the last one that was run
        self._failure, self._num_same_failures = "", 0
        self._telling = True
        if len(objective.metrics) > 1 and not getattr(searcher, "multi_objective", True):
            name, metrics = type(searcher).__name__, " and ".join(objective.metrics)
            raise OptionError(f"searcher {name} takes one objective, not {metrics}; nsga2 takes several")
        self._guarded = GuardedSearcher(searcher, space, limits.constraint)
        if journal is not None:
            self._open(journal)

    # --- what engines call -----------------------------------------------------------------------------------------

    def ask(self) -> TrialRecord | None:
        """The next trial to run; ``None`` if there is none now. With nothing running, ``None`` means the search is over."""
        if self._run_again:
            return self._run_again.popleft()
        while not self.done:
            if self.num_spent >= self.limits.num_trials:
                self.done = True
                break
            proposal = self._generate(self._next_id)
            if proposal is None:
                break
            event = self._propose(proposal)
            self._record(event)
            if event["outcome"] == "run":
                return self.records[event["id"]]
            self.done = self.done or self._num_in_a_row >= MAX_IN_A_ROW
        return None

    def tell(self, trial_id: int, metrics: dict[str, float], *, start: float | None = None, node: str | None = None) -> None:
        """A trial has finished. Told twice, the second time is ignored. Metrics that are no result make it a failure."""
        error = self.objective.problem(metrics)
        if error is not None:
            self.fail(trial_id, error, start=start, node=node)
        elif self._is_running(trial_id):
            self._record({"event": "finished", "id": trial_id, "metrics": metrics, **_where(start, node)})

    def fail(self, trial_id: int, error: str, *, start: float | None = None, node: str | None = None) -> None:
        """A trial has failed; the first line of ``error`` is the cause."""
        if self._is_running(trial_id):
            error = error.encode(errors="backslashreplace").decode()  # names of files may hold what UTF-8 cannot
            self._record({"event": "failed", "id": trial_id, "error": error, **_where(start, node)})

    def stop(self, trial_id: int, metrics: dict[str, float], *, start: float | None = None, node: str | None = None) -> None:
        """A trial was stopped before its end; what it reported stays in the history, the searcher gets no result."""
        if self._is_running(trial_id):
            self._record({"event": "stopped", "id": trial_id, "metrics": metrics, **_where(start, node)})

    def best(self) -> TrialRecord | None:
        """The completed trial with the best value; the earliest of equals."""
        completed = [record for record in self.records.values() if record.state == COMPLETED]
        return max(completed, key=lambda record: (self.objective.scalar(record.metrics), -record.id), default=None)

    # --- proposals -------------------------------------------------------------------------------------------------

    def _generate(self, parameter_id: int) -> Proposal | None:
        try:
            proposal = self._guarded.generate(parameter_id)
            if proposal is None and not self.num_running:
                raise SearcherError(f"searcher {self._guarded.name} waits for results, but no trial is running")
            return proposal
        except NoMoreTrials:
            self.done = True
        except SearcherError as error:
            self._end(error)
        return None

    def _propose(self, proposal: Proposal) -> Event:
        architecture, budget = proposal.architecture, proposal.budget
        known = None if self.limits.repeat else self._by_pair.get((architecture.digest, budget))
        if self.limits.constraint is not None and not self.limits.constraint(architecture):
            outcome = "forbidden"
        elif known is None:
            outcome = "run"
        else:
            outcome = "shared" if self.records[known].state == RUNNING else "reused"
        choices = {key: list(indices) for key, indices in architecture.indices.items()}
        return {"event": "proposed", "id": self._next_id, "choices": choices, "budget": budget, "outcome": outcome, "of": known}

    def _end(self, error: RaynasError) -> None:
        self.done, self.error = True, self.error or error

    def _is_running(self, trial_id: int) -> bool:
        return self.records[trial_id].state == RUNNING

    # --- events ----------------------------------------------------------------------------------------------------

    def _record(self, event: Event) -> None:
        event["time"] = time.time()
        if self._journal is not None:
            self._journal.append(event)
        self._apply(event)
        if self._journal is not None and self._journal.num_events % STATE_EVERY == 0:
            self._store_state(self._journal)
        if self._on_event is not None:
            self._on_event(self)

    def _apply(self, event: Event) -> None:
        if event["event"] == "proposed":
            self._apply_proposed(event)
        else:
            self._apply_ended(event)

    def _apply_proposed(self, event: Event) -> None:
        indices = {key: tuple(at) for key, at in event["choices"].items()}
        record = TrialRecord(event["id"], Architecture.trusted(self.space, indices), event["budget"], start=event["time"])
        self._next_id = record.id + 1
        outcome = event["outcome"]
        self._num_in_a_row = 0 if outcome == "run" else self._num_in_a_row + 1
        if outcome == "forbidden":
            self.num_forbidden += 1
            self._tell_searcher(record, success=False)
            return
        self.records[record.id] = record
        if outcome == "run":
            self.num_spent += 1
            self.num_running += 1
            self._by_pair[record.architecture.digest, record.budget] = record.id
        elif outcome == "shared":
            self._sharing.setdefault(event["of"], []).append(record.id)
        else:
            self._answer(record, self.records[event["of"]])

    def _apply_ended(self, event: Event) -> None:
        record = self.records[event["id"]]
        record.state = {"finished": COMPLETED, "failed": FAILED, "stopped": STOPPED}[event["event"]]
        record.metrics = event.get("metrics", {})
        record.error = event.get("error")
        record.start, record.end, record.node = event.get("start") or record.start, event["time"], event["node"]
        self.num_running -= 1
        self._count_failures(record)
        self._tell_searcher(record, success=record.state == COMPLETED)
        for waiting in self._sharing.pop(record.id, []):
            self._answer(self.records[waiting], record)

    def _answer(self, record: TrialRecord, known: TrialRecord) -> None:
        """Answer a proposal from the history: no trial is spent."""
        record.state, record.metrics, record.error = REUSED, known.metrics, known.error
        record.end, record.node = record.start, known.node
        self._tell_searcher(record, success=known.state == COMPLETED)

    def _tell_searcher(self, record: TrialRecord, *, success: bool) -> None:
        if not self._telling:
            return
        try:
            self._guarded.tell(record.id, record.architecture, self.objective.value(record.metrics) if success else None)
        except SearcherError as error:
            self._end(error)

    def _count_failures(self, record: TrialRecord) -> None:
        cause = record.error.splitlines()[0] if record.error else ""
        same = cause if cause and cause == self._failure else ""
        self._num_same_failures = self._num_same_failures + 1 if same else int(bool(cause))
        self._failure = cause
        if self._num_same_failures >= self.limits.max_same_failures:
            self._end(SearchStoppedError(f"{self._num_same_failures} trials in a row failed with the same cause: {cause}"))

    # --- resuming --------------------------------------------------------------------------------------------------

    def _open(self, journal: Journal) -> None:
        header = {"event": "opened", "space": self.space.to_dict(), "objective": self.objective.to_dict()}
        if not journal.events:
            journal.append(header)
            return
        for name in ("space", "objective"):
            if journal.events[0].get(name) != header[name]:
                found, asked = journal.events[0].get(name), header[name]
                raise RunExistsError(f"the run was made with another {name}: {found}; asked for now: {asked}")
        seen, state = journal.load_state()
        if state is not None:
            self._guarded.load_state(state)
        differs = False
        for number, event in enumerate(journal.events[1:], 1):
            self._telling = number >= seen
            if self._telling and event["event"] == "proposed" and not differs:
                differs = not self._proposes_again(event)
            self._apply(event)
        self._telling = True
        left = (record for record in self.records.values() if record.state == RUNNING)
        self._run_again.extend(record for record in left if not self._waits(record))
        if self.error is not None and not isinstance(self.error, SearcherError):
            self.done, self.error, self._num_same_failures = False, None, 0  # asked to go on: give it another chance

    def _waits(self, record: TrialRecord) -> bool:
        return any(record.id in waiting for waiting in self._sharing.values())

    def _proposes_again(self, event: Event) -> bool:
        proposal = self._generate(event["id"])
        choices = {key: list(at) for key, at in proposal.architecture.indices.items()} if proposal else None
        if choices == event["choices"]:
            return True
        name = self._guarded.name
        warnings.warn(f"searcher {name} is not deterministic: proposal {event['id']} differs on resuming", stacklevel=2)
        return False

    def _store_state(self, journal: Journal) -> None:
        state = self._guarded.state()
        if state is not None:
            journal.store_state(state)


_HOST = socket.gethostname()


def _where(start: float | None, node: str | None) -> dict[str, Any]:
    return {"start": start, "node": node or _HOST}
