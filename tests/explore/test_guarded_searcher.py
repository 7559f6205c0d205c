"""Anyone's searcher, as the session calls it: what is wrong with it names it."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raynas.errors import NoMoreTrials, SearcherError
from raynas.explore import EngineOptions, Proposal, Searcher, SearchSession, Trial, run_local
from raynas.explore import session as session_module
from raynas.explore.guarded_searcher import GuardedSearcher
from raynas.space import SearchSpace

MakeSession = Callable[..., SearchSession]

BROKEN: dict[str, tuple[Any, str]] = {
    "raises": (KeyError("lost"), "KeyError"),
    "waits for nothing": (None, "no trial is running"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_searcher_that_breaks_the_protocol_is_named(scripted: Any, make_session: MakeSession, broken: str) -> None:
    answer, named = BROKEN[broken]
    session = make_session(scripted(answer))
    assert session.ask() is None
    assert isinstance(session.error, SearcherError)
    assert "ScriptedSearcher" in str(session.error)
    assert named in str(session.error)
    assert session.done


INVALID: dict[str, tuple[Any, str]] = {
    "out of range": (lambda _: {"width": {"_idx": 9}}, "width"),
    "no architecture": (lambda _: 7, "int"),
    "a proposal of nonsense": (lambda _: Proposal({"nonsense": 1}), "nonsense"),
    "a budget in words": (lambda space: Proposal(space.unrank(0), budget="many"), "budget 'many'"),
    "a budget of NaN": (lambda space: Proposal(space.unrank(0), budget=math.nan), "budget nan"),
    "a budget of yes": (lambda space: Proposal(space.unrank(0), budget=True), "budget True"),
    "a budget beyond floats": (lambda space: Proposal(space.unrank(0), budget=10**400), "expected a finite number"),
}


@pytest.mark.parametrize("invalid", INVALID)
def test_an_invalid_proposal_has_failed_and_another_is_asked_for(
    scripted: Any, make_session: MakeSession, space: SearchSpace, invalid: str
) -> None:
    searcher = scripted(*[INVALID[invalid][0]] * 19, 5)
    session = make_session(searcher)
    record = session.ask()
    assert (record.id, record.architecture) == (19, space.unrank(5))
    assert searcher.ends == [(number, False) for number in range(19)]
    assert (session.state.num_invalid, session.num_spent, session.error) == (19, 1, None)


@pytest.mark.parametrize("budget", [9, 2.5, np.int64(9), np.float32(2.5)])
def test_a_budget_is_a_number_of_python(scripted: Any, make_session: MakeSession, budget: Any) -> None:
    record = make_session(scripted(lambda space: Proposal(space.unrank(0), budget))).ask()
    assert record.budget == budget
    assert type(record.budget) in (int, float)


@pytest.mark.parametrize(
    ("state", "named"),
    [({"seen": {1, 2}}, "is not JSON.*set"), ({"best": math.nan}, "is not JSON"), (KeyError("lost"), "KeyError in state_dict")],
    ids=["a set", "NaN", "raises"],
)
def test_a_state_that_cannot_be_kept_ends_the_search_by_name(
    scripted: Any,
    make_session: MakeSession,
    open_journal: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    state: Any,
    named: str,
) -> None:
    monkeypatch.setattr(session_module, "STATE_EVERY", 2)
    searcher = scripted(0, 1, 2)

    def state_dict() -> Any:
        if isinstance(state, Exception):
            raise state
        return state

    searcher.state_dict = state_dict
    session = make_session(searcher, journal=open_journal(tmp_path))
    assert session.ask().id == 0
    assert session.ask() is None
    assert isinstance(session.error, SearcherError)
    assert re.search(f"ScriptedSearcher.*{named}", str(session.error))


@pytest.mark.parametrize("invalid", INVALID)
def test_twenty_invalid_proposals_in_a_row_end_the_search_by_name(
    scripted: Any, make_session: MakeSession, invalid: str
) -> None:
    answer, named = INVALID[invalid]
    session = make_session(scripted(0, *[answer] * 30))
    session.tell(session.ask().id, {"accuracy": 0.5})
    assert session.ask() is None
    assert isinstance(session.error, SearcherError)
    assert "20 invalid proposals in a row" in str(session.error)
    assert "ScriptedSearcher" in str(session.error)
    assert named in str(session.error)


@pytest.mark.parametrize("method", ["receive_trial_result", "trial_end"])
def test_a_searcher_that_raises_when_told_is_named(scripted: Any, make_session: MakeSession, method: str) -> None:
    def raises(*_: Any) -> None:
        raise ZeroDivisionError("of no use")

    searcher = scripted(0, 1)
    setattr(searcher, method, raises)
    session = make_session(searcher)
    session.tell(session.ask().id, {"accuracy": 0.5})
    assert f"ScriptedSearcher raised ZeroDivisionError in {method}: of no use" in str(session.error)
    assert isinstance(session.error, SearcherError)
    assert session.ask() is None
    assert session.records[0].state == "completed"


def test_a_plain_dict_is_as_good_as_an_architecture(scripted: Any, make_session: MakeSession, space: SearchSpace) -> None:
    session = make_session(scripted(lambda _: space.unrank(3).to_dict()))
    assert session.ask().architecture == space.unrank(3)


def test_a_plain_object_with_three_methods_is_a_searcher(make_session: MakeSession, accuracy: Any) -> None:
    class Plain:
        def update_search_space(self, search_space: dict[str, Any]) -> None:
            self.space, self.told = SearchSpace(search_space), []

        def generate_parameters(self, parameter_id: int) -> dict[str, Any]:
            if parameter_id == 6:
                raise NoMoreTrials("six are enough")
            return self.space.unrank(parameter_id % 4).to_dict()

        def receive_trial_result(self, parameter_id: int, parameters: dict[str, Any], value: float) -> None:
            self.told.append((parameter_id, accuracy(self.space.validate(parameters)) == value))

    def evaluate(trial: Trial) -> None:
        trial.report(accuracy=accuracy(trial.architecture))

    searcher = Plain()
    session = make_session(searcher)
    run_local(session, evaluate, EngineOptions(max_concurrent=2))
    assert session.error is None
    assert sorted(searcher.told) == [(i, True) for i in range(6)]
    assert session.num_spent == 4


@pytest.mark.parametrize("method", ["update_search_space", "generate_parameters", "receive_trial_result"])
def test_an_object_that_lacks_a_method_is_refused(space: SearchSpace, method: str) -> None:
    class Lacking:
        def update_search_space(self, search_space: SearchSpace) -> None: ...
        def generate_parameters(self, parameter_id: int) -> None: ...
        def receive_trial_result(self, parameter_id: int, parameters: Any, value: float) -> None: ...

    GuardedSearcher(Lacking(), space, None)
    setattr(Lacking, method, None)
    with pytest.raises(SearcherError, match=rf"Lacking.*{method}"):
        GuardedSearcher(Lacking(), space, None)


def test_the_space_is_told_before_the_constraint(space: SearchSpace) -> None:
    told: list[Any] = []

    class Noting(Searcher):
        def update_search_space(self, search_space: SearchSpace) -> None:
            told.append(search_space)

        def set_constraint(self, allowed: Any) -> None:
            told.append(allowed)

    GuardedSearcher(Noting(), space, bool)
    GuardedSearcher(Noting(), space, None)
    assert told == [space, bool, space]


def test_no_state_is_none(space: SearchSpace) -> None:
    assert GuardedSearcher(Searcher(), space, None).state() is None


def test_a_state_that_does_not_fit_names_the_searcher(space: SearchSpace) -> None:
    class Stateful(Searcher):
        def state_dict(self) -> dict[str, Any]:
            raise OSError("nothing kept")

        def load_state_dict(self, state: Any) -> None:
            self.kept = state["kept"]

    guarded = GuardedSearcher(Stateful(), space, None)
    with pytest.raises(SearcherError, match=r"Stateful cannot load.*KeyError.*another searcher"):
        guarded.load_state({"rng": 1})
    with pytest.raises(SearcherError, match="Stateful raised OSError in state_dict"):
        guarded.state()
