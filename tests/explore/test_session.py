"""What a session does between a searcher and an engine. Resuming is in ``test_journal``."""

import math
from collections.abc import Callable
from itertools import cycle
from typing import Any

import pytest

from raynas.errors import OptionError, SearchStoppedError
from raynas.explore import Proposal, Searcher, SearchSession
from raynas.explore.session import MAX_IN_A_ROW
from raynas.space import Architecture, SearchSpace

MakeSession = Callable[..., SearchSession]


class Repeating(Searcher):
    """Proposes the architectures of these numbers, over and over."""

    def __init__(self, *numbers: int) -> None:
        super().__init__()
        self.numbers = cycle(numbers)

    def generate_parameters(self, parameter_id: int) -> Architecture:
        return self.space.unrank(next(self.numbers))


# --- duplicates ------------------------------------------------------------------------------------------------------


def test_what_finished_before_is_answered_at_once_and_spends_no_trial(scripted: Any, make_session: MakeSession) -> None:
    searcher = scripted(0, 0, 1)
    session = make_session(searcher)
    first = session.ask()
    session.tell(first.id, {"accuracy": 0.5, "loss": 2.0})
    third = session.ask()
    assert (first.id, third.id) == (0, 2)
    assert searcher.results == [(0, 0.5), (1, 0.5)]
    assert searcher.ends == [(0, True), (1, True)]
    assert session.num_spent == 2
    assert session.records[1].state == "reused"
    assert session.records[1].metrics == {"accuracy": 0.5, "loss": 2.0}


def test_what_runs_already_is_waited_for(scripted: Any, make_session: MakeSession) -> None:
    searcher = scripted(0, 0, 0, 1)
    session = make_session(searcher)
    assert [session.ask().id, session.ask().id] == [0, 3]
    assert session.num_spent == session.num_running == 2
    assert searcher.ends == []
    session.tell(0, {"accuracy": 0.5})
    assert searcher.results == [(0, 0.5), (1, 0.5), (2, 0.5)]
    assert session.num_running == 1
    assert [session.records[i].state for i in range(4)] == ["completed", "reused", "reused", "running"]


@pytest.mark.parametrize("before", [True, False], ids=["reused", "shared"])
@pytest.mark.parametrize("ending", ["fail", "stop"])
def test_a_failed_or_stopped_trial_is_no_result_for_its_duplicates(
    scripted: Any, make_session: MakeSession, ending: str, before: bool
) -> None:
    searcher = scripted(0, 0)
    session = make_session(searcher)
    session.ask()
    if not before:
        session.ask()
    if ending == "fail":
        session.fail(0, "ValueError: no")
    else:
        session.stop(0, {"accuracy": 0.9})
    session.ask()
    assert searcher.results == []
    assert searcher.ends == [(0, False), (1, False)]


def test_another_budget_is_another_trial(scripted: Any, make_session: MakeSession) -> None:
    searcher = scripted(*(lambda space, budget=budget: Proposal(space.unrank(0), budget) for budget in (1, 3, None, 3)))
    session = make_session(searcher)
    assert [session.ask().budget for _ in range(3)] == [1, 3, None]
    session.tell(1, {"accuracy": 0.5})
    assert session.ask() is None
    assert (session.num_spent, session.records[3].state) == (3, "reused")


def test_repeat_runs_it_again(scripted: Any, make_session: MakeSession) -> None:
    session = make_session(scripted(0, 0), repeat=True)
    session.tell(session.ask().id, {"accuracy": 0.1})
    session.tell(session.ask().id, {"accuracy": 0.2})
    assert [record.state for record in session.records.values()] == ["completed", "completed"]


def test_a_thousand_reused_in_a_row_end_the_search(make_session: MakeSession) -> None:
    session = make_session(Repeating(0))
    session.tell(session.ask().id, {"accuracy": 0.5})
    assert session.ask() is None
    assert (session.done, session.error, session.num_spent) == (True, None, 1)
    assert len(session.records) == 1 + MAX_IN_A_ROW == 1_001


# --- the constraint --------------------------------------------------------------------------------------------------


def test_a_forbidden_proposal_is_counted_and_told_as_ended(
    scripted: Any, make_session: MakeSession, space: SearchSpace
) -> None:
    searcher = scripted(0, 1, 0, 2)
    session = make_session(searcher, constraint=lambda architecture: architecture != space.unrank(0))
    assert session.ask().architecture == space.unrank(1)
    assert session.ask().architecture == space.unrank(2)
    assert searcher.ends == [(0, False), (2, False)]
    assert (session.num_forbidden, session.num_spent, list(session.records)) == (2, 2, [1, 3])


def test_a_thousand_forbidden_in_a_row_end_the_search(make_session: MakeSession) -> None:
    session = make_session(Repeating(0, 1, 2), constraint=lambda _: False)
    assert session.ask() is None
    assert (session.done, session.error, session.num_forbidden) == (True, None, MAX_IN_A_ROW)


def test_forbidden_and_reused_in_turns_end_the_search_too(make_session: MakeSession, space: SearchSpace) -> None:
    session = make_session(Repeating(0, 1), constraint=lambda architecture: architecture == space.unrank(0))
    session.tell(session.ask().id, {"accuracy": 0.5})
    assert session.ask() is None
    assert session.done
    assert session.num_forbidden == MAX_IN_A_ROW / 2


def test_a_searcher_that_knows_constraints_is_told(make_session: MakeSession, space: SearchSpace) -> None:
    told = []

    class Knowing(Repeating):
        def set_constraint(self, allowed: Any) -> None:
            told.append(allowed)

    def constraint(architecture: Architecture) -> bool:
        return architecture == space.unrank(3)

    make_session(Knowing(0), constraint=constraint)
    make_session(Knowing(0))
    assert len(told) == 1
    assert [told[0](space.unrank(number)) for number in (3, 4)] == [True, False]


# --- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metrics", [{}, {"loss": 1.0}, {"accuracy": math.nan}, {"accuracy": math.inf}, {"accuracy": -math.inf}]
)
def test_a_metric_that_is_no_result_is_a_failure(scripted: Any, make_session: MakeSession, metrics: dict[str, float]) -> None:
    searcher = scripted(0)
    session = make_session(searcher)
    session.tell(session.ask().id, metrics)
    assert session.records[0].state == "failed"
    assert "metric 'accuracy'" in session.records[0].error
    assert (searcher.results, searcher.ends) == ([], [(0, False)])


def test_min_is_told_as_larger_is_better_and_kept_in_the_users_sign(scripted: Any, make_session: MakeSession) -> None:
    searcher = scripted(0, 1)
    session = make_session(searcher, metric="loss", mode="min")
    session.tell(session.ask().id, {"loss": 2.0})
    session.tell(session.ask().id, {"loss": 0.5})
    assert searcher.results == [(0, -2.0), (1, -0.5)]
    assert session.best().metrics == {"loss": 0.5}


def test_several_objectives_are_told_as_a_mapping(scripted: Any, make_session: MakeSession) -> None:
    searcher = scripted(0, 1)
    session = make_session(searcher, metric=["accuracy", "flops"], mode=["max", "min"])
    session.tell(session.ask().id, {"accuracy": 0.5, "flops": 100.0, "seconds": 3.0})
    session.tell(session.ask().id, {"accuracy": 0.5})
    assert searcher.results == [(0, {"accuracy": 0.5, "flops": -100.0})]
    assert session.records[1].state == "failed"
    with pytest.raises(OptionError, match="accuracy, flops"):
        session.best()


def test_what_is_told_twice_counts_once(scripted: Any, make_session: MakeSession) -> None:
    searcher = scripted(0, 1, 2)
    session = make_session(searcher)
    for _ in range(3):
        session.ask()
    session.tell(0, {"accuracy": 0.5})
    session.fail(1, "ValueError: no")
    session.stop(2, {"accuracy": 0.7})
    for trial in range(3):
        session.tell(trial, {"accuracy": 0.9})
        session.fail(trial, "late")
        session.stop(trial, {})
    assert searcher.results == [(0, 0.5)]
    assert searcher.ends == [(0, True), (1, False), (2, False)]
    assert session.num_running == 0


def test_what_a_stopped_trial_reported_stays(scripted: Any, make_session: MakeSession) -> None:
    session = make_session(scripted(0))
    session.stop(session.ask().id, {"accuracy": 0.9})
    assert (session.records[0].state, session.records[0].metrics) == ("stopped", {"accuracy": 0.9})
    assert session.best() is None


def test_the_earliest_of_equals_is_best(scripted: Any, make_session: MakeSession) -> None:
    session = make_session(scripted(0, 1, 2))
    for value in (0.1, 0.7, 0.7):
        session.tell(session.ask().id, {"accuracy": value})
    assert session.best().id == 1


# --- when it ends ----------------------------------------------------------------------------------------------------


def _fail_all(session: SearchSession, causes: list[str | None]) -> None:
    for cause in causes:
        if (record := session.ask()) is None:
            return
        if cause is None:
            session.tell(record.id, {"accuracy": 0.5})
        else:
            session.fail(record.id, f"{cause}\nTraceback of trial {record.id}")


def test_five_failures_of_one_cause_stop_the_search(scripted: Any, make_session: MakeSession) -> None:
    session = make_session(scripted(*range(50)))
    _fail_all(session, ["OSError: full"] * 50)
    assert isinstance(session.error, SearchStoppedError)
    assert "5 trials in a row" in str(session.error)
    assert "OSError: full" in str(session.error)
    assert (session.num_spent, session.done) == (5, True)


@pytest.mark.parametrize("causes", [["a", "a", "a", "a", None], ["a", "b"], ["a", "a", "a", "a", "b"]])
def test_other_failures_do_not(scripted: Any, make_session: MakeSession, causes: list[str | None]) -> None:
    session = make_session(scripted(*range(50)))
    _fail_all(session, causes * 5)
    assert session.error is None


def test_it_ends_after_num_trials(scripted: Any, make_session: MakeSession) -> None:
    session = make_session(scripted(0, 1, 2), num_trials=2)
    assert [session.ask().id, session.ask().id, session.ask()] == [0, 1, None]
    assert session.done
    assert session.error is None


def test_it_ends_when_the_searcher_has_no_more(scripted: Any, make_session: MakeSession) -> None:
    session = make_session(scripted(0))
    session.ask()
    assert session.ask() is None
    assert session.done
    session.tell(0, {"accuracy": 0.5})
    assert session.best().id == 0


def test_waiting_is_not_the_end(scripted: Any, make_session: MakeSession) -> None:
    session = make_session(scripted(0, None, None, 1))
    session.ask()
    assert [session.ask(), session.ask()] == [None, None]
    assert not session.done
    session.tell(0, {"accuracy": 0.5})
    assert session.ask().id == 1


def test_progress_is_told_of_every_event(scripted: Any, make_session: MakeSession) -> None:
    seen: list[tuple[int, int]] = []
    session = make_session(scripted(0, 1), on_event=lambda session: seen.append((session.num_spent, session.num_running)))
    session.ask()
    session.ask()
    session.tell(1, {"accuracy": 0.5})
    assert seen == [(1, 1), (2, 2), (2, 1)]
