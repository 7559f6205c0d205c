"""What the tests of a search share: a space, sessions on it, a searcher that follows a script, a value without training."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from raynas.errors import NoMoreTrials
from raynas.explore import (
    EngineOptions,
    Journal,
    Objective,
    Searcher,
    SearchLimits,
    SearchSession,
    Trial,
    make_searcher,
    run_local,
)
from raynas.explore import session as session_module
from raynas.space import Architecture, SearchSpace

SPACE = SearchSpace(
    {
        "层": {"_type": "layer_choice", "_value": ["plain", "branch", "mixed"]},
        "inner": {"_type": "layer_choice", "_value": ["a", "b", "c"], "_when": {"层": [1, 2]}},
        "width": {"_type": "choice", "_value": [8, 16, 24]},
        "inputs": {"_type": "input_choice", "_value": {"candidates": ["x", "y", "z"], "n_chosen": None}},
    }
)


class ScriptedSearcher(Searcher):
    """Gives its answers one by one, then has no more; notes what it is told.

    An answer is the number of an architecture, ``None`` to wait, an exception to raise, or a function of the space.
    """

    multi_objective = True

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.answers = list(answers)
        self.results: list[tuple[int, Any]] = []
        self.ends: list[tuple[int, bool]] = []

    def generate_parameters(self, parameter_id: int) -> Any:
        if not self.answers:
            raise NoMoreTrials("the script is at its end")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return answer(self.space)
        return None if answer is None else self.space.unrank(answer)

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        self.results.append((parameter_id, value))

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self.ends.append((parameter_id, success))


def _make_session(
    searcher: Any,
    *,
    space: SearchSpace = SPACE,
    metric: str | Sequence[str] = "accuracy",
    mode: str | Sequence[str] = "max",
    journal: Journal | None = None,
    on_event: Callable[[SearchSession], None] | None = None,
    **limits: Any,
) -> SearchSession:
    limits = {"num_trials": 100} | limits
    objective = Objective(metric, mode)
    return SearchSession(searcher, space, objective, limits=SearchLimits(**limits), journal=journal, on_event=on_event)


STOCK = {
    "random": {},
    "regularized_evolution": {"population_size": 6, "sample_size": 3},
    "spos_evolution": {"population_size": 8, "num_parents": 3},
}


class Killed(BaseException):
    """Not an Exception, so that nothing handles it."""


class SearchRun:
    """A search in one folder, in as many lives as it takes: trials run three at once, and one in ten fails."""

    def __init__(self, folder: Path, make: str | Callable[[], Any], segment_events: int = 10_000) -> None:
        self.folder, self.segment_events = folder, segment_events
        self.make = make if callable(make) else lambda: make_searcher(make, {"seed": 3, **STOCK[make]})
        self.evaluated: list[int] = []

    def live(self, *, until_event: int | None = None, num_trials: int = 30) -> list[str]:
        """Search until the end, or until so many events of this life; returns the digests of all proposals."""
        left = [until_event]

        def on_event(_: SearchSession) -> None:
            left[0] = None if left[0] is None else left[0] - 1
            if left[0] == 0:
                raise Killed

        journal = Journal(self.folder, self.segment_events)
        try:
            session = _make_session(self.make(), num_trials=num_trials, journal=journal, on_event=on_event)
            run_local(session, self._evaluate, EngineOptions(max_concurrent=3))
        finally:
            journal.close()
        assert session.error is None
        return [record.architecture.digest for record in session.records.values()]

    def ended(self) -> set[int]:
        """The trials whose end is in the journal."""
        journal = Journal(self.folder, self.segment_events)
        journal.close()
        return {event["id"] for event in journal.events if event["event"] in ("finished", "failed")}

    def _evaluate(self, trial: Trial) -> None:
        self.evaluated.append(trial.id)
        number = int(trial.architecture.digest[:8], 16)
        if number % 10 == 0:
            raise ValueError(f"no {number}")
        trial.report(accuracy=number / 2**32)


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    return SPACE


@pytest.fixture(scope="session")
def scripted() -> type[ScriptedSearcher]:
    return ScriptedSearcher


@pytest.fixture(scope="session")
def make_session() -> Callable[..., SearchSession]:
    return _make_session


@pytest.fixture(scope="session")
def accuracy() -> Callable[[Architecture], float]:
    """A value in [0, 1) that depends on the architecture alone."""
    return lambda architecture: int(architecture.digest[:8], 16) / 2**32


@pytest.fixture(scope="session")
def search_run() -> type[SearchRun]:
    return SearchRun


@pytest.fixture(scope="session")
def killed() -> type[Killed]:
    return Killed


@pytest.fixture
def open_journal() -> Iterator[Callable[[Path], Journal]]:
    """Opens journals, and closes them at the end."""
    opened: list[Journal] = []

    def open_one(folder: Path) -> Journal:
        opened.append(Journal(folder))
        return opened[-1]

    yield open_one
    for journal in opened:
        journal.close()


@pytest.fixture
def frequent_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """The searcher's state is stored every few events, so that short searches have one too."""
    monkeypatch.setattr(session_module, "STATE_EVERY", 7)
