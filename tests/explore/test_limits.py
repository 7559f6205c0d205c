"""When a search is over: time, patience, retries."""

import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from raynas.errors import ConstraintError, OptionError
from raynas.explore import SearchLimits, SearchSession, make_searcher
from raynas.space import Architecture, SearchSpace

MakeSession = Callable[..., SearchSession]


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_trials": 0},
        {"num_trials": 2.5},
        {"num_trials": True},
        {"patience": 0},
        {"max_failures_per_trial": -1},
        {"max_seconds": 0},
        {"max_seconds": math.nan},
        {"max_seconds": math.inf},
        {"max_seconds": "60"},
    ],
    ids=str,
)
def test_a_number_out_of_its_range_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        SearchLimits(**({"num_trials": 1} | wrong))


def broken(architecture: Architecture) -> bool:
    raise KeyError(f"cost of {architecture['width'].value}")


@pytest.mark.parametrize("knows", [True, False], ids=["the searcher asks", "the search asks"])
def test_a_constraint_that_raises_ends_the_search_and_is_named(scripted: Any, make_session: MakeSession, knows: bool) -> None:
    session = make_session(make_searcher("random", {}) if knows else scripted(0, 1), constraint=broken)
    assert session.ask() is None
    assert session.done
    assert isinstance(session.error, ConstraintError)
    assert re.match(r"the constraint raised KeyError for Architecture\(.*cost of", str(session.error))


def test_a_constraint_that_raises_over_what_is_given_is_named(
    scripted: Any, make_session: MakeSession, space: SearchSpace
) -> None:
    with pytest.raises(ConstraintError, match="KeyError"):
        make_session(scripted(0), constraint=broken).start_from([space.unrank(0)])


def test_after_max_seconds_nothing_is_started_and_what_runs_is_waited_for(scripted: Any, make_session: MakeSession) -> None:
    session = make_session(scripted(0, 1, 2), max_seconds=1e-9)
    assert session.ask() is None
    assert session.done
    session = make_session(scripted(0, 1, 2), max_seconds=1_000)
    running = session.ask()
    session._deadline = 0.0
    assert session.ask() is None
    session.tell(running.id, {"accuracy": 0.5})
    assert session.best().id == running.id
    assert session.error is None


def test_patience_ends_it_when_nothing_gets_better(scripted: Any, make_session: MakeSession) -> None:
    session = make_session(scripted(*range(20)), patience=3)
    for value in (0.5, 0.4, 0.6, 0.6, 0.1):
        session.tell(session.ask().id, {"accuracy": value})
    session.fail(session.ask().id, "ValueError: counts too")
    assert session.ask() is None
    assert (session.done, session.num_spent, session.best().id) == (True, 6, 2)


def test_patience_looks_at_the_front_where_there_are_several_objectives(scripted: Any, make_session: MakeSession) -> None:
    session = make_session(scripted(*range(20)), patience=2, metric=["accuracy", "flops"], mode=["max", "min"])
    for accuracy, flops in ((0.5, 10), (0.6, 20), (0.4, 5), (0.4, 6), (0.3, 30)):
        session.tell(session.ask().id, {"accuracy": accuracy, "flops": flops})
    assert session.ask() is None
    assert [record.id for record in session.state.front()] == [0, 1, 2]


@pytest.mark.parametrize(("allowed", "died", "attempts"), [(None, False, 1), (None, True, 2), (0, True, 1), (2, False, 3)])
def test_a_failed_trial_is_run_again_under_its_id_and_told_once(
    scripted: Any, make_session: MakeSession, allowed: int | None, died: bool, attempts: int
) -> None:
    searcher = scripted(5)
    session = make_session(searcher, max_failures_per_trial=allowed)
    for attempt in range(1, attempts + 1):
        record = session.ask()
        assert (record.id, record.attempt) == (0, attempt)
        session.fail(0, f"OSError: attempt {attempt}", died=died)
    assert session.ask() is None
    assert (searcher.ends, session.num_spent, session.num_running) == ([(0, False)], 1, 0)
    assert (session.records[0].state, session.records[0].error) == ("failed", f"OSError: attempt {attempts}")


def test_a_retry_that_works_is_a_result(scripted: Any, make_session: MakeSession) -> None:
    searcher = scripted(5)
    session = make_session(searcher, max_failures_per_trial=1)
    session.ask()
    session.fail(0, "OSError: once")
    session.tell(session.ask().id, {"accuracy": 0.5})
    assert (searcher.results, searcher.ends, session.records[0].attempt) == ([(0, 0.5)], [(0, True)], 2)
