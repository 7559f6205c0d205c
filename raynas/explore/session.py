"""``SearchSession`` mediates between a searcher and whatever runs the trials.

It asks the searcher, keeps the constraint, answers duplicates, counts, writes the journal ahead, and tells results.
Engines call ``ask``, ``report``, ``tell``, ``fail`` and ``stop``, and nothing about a run lives in them alone.

Everything that happens is an event: it is journaled, then applied to the ``SearchState``. How a session goes on from a
journal is in ``resuming``.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from raynas.errors import (
    ConstraintError,
    InvalidProposalError,
    NoMoreTrials,
    OptionError,
    RaynasError,
    SearcherError,
    SearchStoppedError,
)
from raynas.explore.guarded_searcher import GuardedSearcher
from raynas.explore.history import RUNNING, TrialRecord, where
from raynas.explore.journal import Event, Journal
from raynas.explore.limits import SearchLimits
from raynas.explore.objective import Objective
from raynas.explore.resuming import check_same_search, replay
from raynas.explore.search_state import SearchState, Told
from raynas.explore.searcher import Proposal
from raynas.space import Architecture, SearchSpace

MAX_IN_A_ROW = 1_000  # forbidden and reused proposals without a new one between them
MAX_INVALID_IN_A_ROW = 20
STATE_EVERY = 200  # events


class SearchSession:
    """One search, from its first proposal to its last result. Used from one thread.

    Args:
        searcher: anything with the tuner protocol.
        space: what is searched.
        objective: which metrics count.
        limits: when the search is over.
        journal: where events are kept; events that it holds already are replayed. ``None`` keeps nothing.
        on_event: the first of ``listeners``.

    Attributes:
        state: what the search has come to.
        records: every trial by id, reused ones too.
        listeners: called after each event, for progress.
        done: whether nothing new will be proposed.
        error: why the search ended early, ``None`` if it did not.

    Raises:
        OptionError: there are several objectives, and the searcher takes one.
        RunExistsError: the journal belongs to another search.
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
        self.state = SearchState(space, objective)
        self.records = self.state.records
        self.done, self.error = False, None  # type: bool, RaynasError | None
        self.listeners = [on_event] if on_event is not None else []
        self._journal = journal
        self._run_again: deque[TrialRecord] = deque()
        self._initial: deque[Architecture] = deque()
        self._deadline = time.monotonic() + limits.max_seconds if limits.max_seconds is not None else None
        self.searcher = GuardedSearcher(searcher, space, limits.allows if limits.constraint is not None else None)
        if len(objective.metrics) > 1 and not self.searcher.multi_objective:
            found = " and ".join(objective.metrics)
            raise OptionError(f"searcher {self.searcher.name} takes one objective, not {found}; nsga2 takes several")
        if journal is not None:
            self._open(journal)

    @property
    def num_spent(self) -> int:
        """Trials that ran or run."""
        return self.state.num_spent

    @property
    def num_running(self) -> int:
        """Trials that run now."""
        return self.state.num_running

    @property
    def num_forbidden(self) -> int:
        """Proposals that the constraint forbade."""
        return self.state.num_forbidden

    def best(self) -> TrialRecord | None:
        """The completed trial with the best value; the earliest of equals."""
        return self.state.best()

    def start_from(self, architectures: Sequence[Architecture] = (), results: Sequence[Mapping[str, Any]] = ()) -> None:
        """What is known before the first proposal; called before the first ``ask``, on resuming too.

        Args:
            architectures: run first. The searcher learns of their results, all at once, before it proposes.
            results: from elsewhere, ``{"parameter": architecture, "metrics": {...}}`` each; the searcher is told them now.

        Raises:
            OptionError: the constraint forbids one of the architectures.
        """
        for number, architecture in enumerate(architectures):
            if not self.limits.allows(architecture):
                raise OptionError(f"initial architecture {number} is forbidden by the constraint")
        self._initial.extend(architectures[len(self.state.initial) :])
        if results and not self.state.was_imported["elsewhere"]:
            known = [{"choices": each["parameter"].to_row(), "metrics": dict(each["metrics"])} for each in results]
            self._record({"event": "imported", "from": "elsewhere", "results": known})

    # --- what engines call -----------------------------------------------------------------------------------------

    def ask(self) -> TrialRecord | None:
        """The next trial to run; ``None`` if there is none now. With nothing running, ``None`` means the search is over."""
        if self._run_again:
            return self._run_again.popleft()
        while not self.done:
            if self._is_over():
                self.done = True
                break
            initial = bool(self._initial)
            proposal = Proposal(self._initial.popleft()) if initial else self._next_proposal()
            if proposal is None:
                break
            try:
                event = self._propose(proposal, initial=initial)
            except ConstraintError as error:
                self._end(error)
                break
            self._record(event, proposal.architecture)
            if event["outcome"] == "run":
                return self.records[event["id"]]
            self.done = self.done or self.state.num_in_a_row >= MAX_IN_A_ROW
        return None

    def report(self, trial_id: int, metrics: Mapping[str, float]) -> None:
        """A trial that goes on has reported figures."""
        if self.state.is_running(trial_id):
            self._record({"event": "reported", "id": trial_id, "metrics": dict(metrics)})

    def tell(self, trial_id: int, metrics: dict[str, float], *, start: float | None = None, node: str | None = None) -> None:
        """A trial has finished. Told twice, the second time is ignored. Metrics that are no result make it a failure."""
        error = self.objective.problem(metrics)
        if error is not None:
            self.fail(trial_id, error, start=start, node=node)
        elif self.state.is_running(trial_id):
            self._record({"event": "finished", "id": trial_id, "metrics": metrics, **where(start, node)})

    def fail(
        self, trial_id: int, error: str, *, died: bool = False, start: float | None = None, node: str | None = None
    ) -> None:
        """A trial has failed; the first line of ``error`` is the cause; ``died``: its worker did. It may be run again."""
        if not self.state.is_running(trial_id):
            return
        error = error.encode(errors="backslashreplace").decode()  # names of files may hold what UTF-8 cannot
        if self.limits.may_retry(self.records[trial_id].num_failures + 1, died=died):
            self._record({"event": "retried", "id": trial_id, "error": error, "interrupted": False, **where(start, node)})
            self._run_again.append(self.records[trial_id])
        else:
            self._record({"event": "failed", "id": trial_id, "error": error, **where(start, node)})

    def stop(self, trial_id: int, metrics: dict[str, float], *, start: float | None = None, node: str | None = None) -> None:
        """A trial was stopped before its end; what it reported stays in the history, the searcher gets no result."""
        if self.state.is_running(trial_id):
            self._record({"event": "stopped", "id": trial_id, "metrics": metrics, **where(start, node)})

    # --- proposals -------------------------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        if self.state.num_spent >= self.limits.num_trials:
            return True
        if self._deadline is not None and time.monotonic() >= self._deadline:
            logging.getLogger(__name__).info("max_seconds=%s are over", self.limits.max_seconds)
            return True
        return self.limits.patience is not None and self.state.num_since_best >= self.limits.patience

    def _next_proposal(self) -> Proposal | None:
        """What the searcher proposes, once it knows the results of what was given; ``None`` to wait."""
        initial = self.state.initial
        if initial and not self.state.was_imported["initial"]:
            if any(self.state.is_running(number) for number in initial):
                return None
            self._record({"event": "imported", "from": "initial"})
        while not self.done:
            try:
                return self.generate(self.state.next_id)
            except InvalidProposalError as error:
                self._record({"event": "invalid", "id": self.state.next_id, "error": str(error)})
                if self.state.num_invalid_in_a_row >= MAX_INVALID_IN_A_ROW:
                    self._end(SearcherError(f"{MAX_INVALID_IN_A_ROW} invalid proposals in a row; the last: {error}"))
        return None

    def generate(self, parameter_id: int) -> Proposal | None:
        """Ask the searcher. ``None``: wait, or, where it has ended the search, ``done`` is set.

        Raises:
            InvalidProposalError: the proposal is no architecture of the space.
        """
        try:
            proposal = self.searcher.generate(parameter_id)
            if proposal is None and not self.num_running:
                raise SearcherError(f"searcher {self.searcher.name} waits for results, but no trial is running")
            return proposal
        except NoMoreTrials:
            self.done = True
        except InvalidProposalError:
            raise
        except (SearcherError, ConstraintError) as error:
            self._end(error)
        return None

    def _propose(self, proposal: Proposal, *, initial: bool) -> Event:
        architecture, budget = proposal.architecture, proposal.budget
        known = None if self.limits.repeat else self.state.known(architecture, budget)
        if not self.limits.allows(architecture):
            outcome = "forbidden"
        elif known is None:
            outcome = "run"
        else:
            outcome = "shared" if known.state == RUNNING else "reused"
        event: Event = {"event": "proposed", "id": self.state.next_id, "choices": architecture.to_row(), "budget": budget}
        event |= {"outcome": outcome, "of": known.id if known else None}
        return event | {"initial": True} if initial else event

    def _end(self, error: RaynasError) -> None:
        self.done, self.error = True, self.error or error

    # --- events ----------------------------------------------------------------------------------------------------

    def _record(self, event: Event, architecture: Architecture | None = None) -> None:
        event["time"] = time.time()
        if self._journal is not None:
            self._journal.append(event)
        self.take(event, architecture)
        if self._journal is not None and self._journal.num_events % STATE_EVERY == 0:
            self._store_state(self._journal)
        for listener in self.listeners:
            listener(self)

    def _store_state(self, journal: Journal) -> None:
        try:
            state = self.searcher.state()
            if state is not None:
                journal.store_state(state)
        except SearcherError as error:
            self._end(error)
        except (TypeError, ValueError) as error:
            self._end(SearcherError(f"searcher {self.searcher.name}: its state_dict() is not JSON: {error}"))

    def take(self, event: Event, architecture: Architecture | None = None, *, telling: bool = True) -> None:
        """Apply one event, and tell the searcher what it should know of it."""
        told = self.state.apply(event, architecture)
        if event["event"] == "failed" and self.state.num_same_failures >= self.limits.max_same_failures:
            number, cause = self.state.num_same_failures, self.state.failure
            self._end(SearchStoppedError(f"{number} trials in a row failed with the same cause: {cause}"))
        if not telling:
            return
        try:
            for each in told:
                self._tell(each)
            if event["event"] == "imported":
                self.searcher.import_data(self.state.imported(event))
        except (SearcherError, ConstraintError) as error:
            self._end(error)

    def _tell(self, told: Told) -> None:
        value = self.objective.value(told.metrics) if told.metrics is not None else None
        self.searcher.tell(told.parameter_id, told.architecture, value)

    def _open(self, journal: Journal) -> None:
        header = {"event": "opened", "space": self.space.to_dict(), "objective": self.objective.to_dict(), **journal.about}
        if not journal.events:
            journal.append(header)
            return
        check_same_search(journal.events[0], header)
        replay(self, journal)
        if isinstance(self.error, SearchStoppedError):
            self.done, self.error, self.state.num_same_failures = False, None, 0  # asked to go on: give it another chance
        for record in self.state.running():
            again = {"event": "retried", "id": record.id, "error": "the search was interrupted", "interrupted": True}
            self._record(again | where(None, None))
            self._run_again.append(record)
