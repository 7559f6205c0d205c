"""Tuners that others wrote for NNI: the contract suite runs four of them, and what NNI promised them is kept."""

import copy
import importlib.util
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from raynas.errors import InvalidProposalError, NoMoreTrials, ResultError, SearcherError
from raynas.explore import EngineOptions, Proposal, Searcher, SearchSession, Trial, run_local
from raynas.explore.nni_tuner import NniTuner, adapt
from raynas.space import Architecture, SearchSpace
from raynas.testing import SearcherContract, example_spaces


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


nni = load(Path(__file__).with_name("nni_tuners.py"))

SPACE = SearchSpace(
    {
        "op": {"_type": "layer_choice", "_value": ["conv", "pool", "skip"]},
        "width": {"_type": "choice", "_value": [8, 16, 24]},
        "inputs": {"_type": "input_choice", "_value": {"candidates": ["x", "y", "z"], "n_chosen": 2}},
    }
)
CONDITIONAL = SearchSpace(
    {
        "cell": {"_type": "layer_choice", "_value": ["plain", "branch"]},
        "inner": {"_type": "layer_choice", "_value": ["a", "b", "c"], "_when": {"cell": [1]}},
        "deep": {"_type": "choice", "_value": [1, 2], "_when": {"cell": [1], "inner": [2]}},
    }
)
ANY = SPACE.unrank(5).to_dict()


class Scripted:
    """Gives its answers one by one; an exception is raised, a function is called with the ids and the keywords."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.calls = list(answers), []

    def update_search_space(self, search_space: Any) -> None:
        self.space = search_space

    def generate_parameters(self, parameter_id: int, **kwargs: Any) -> Any:
        self.calls.append(parameter_id)
        answer = self.answers.pop(0) if self.answers else nni.NoMoreTrialError()
        if isinstance(answer, Exception):
            raise answer
        return answer(parameter_id, **kwargs) if callable(answer) else answer

    def receive_trial_result(self, parameter_id: int, parameters: Any, value: Any, **kwargs: Any) -> None:
        self.told = (parameter_id, parameters, value, kwargs)

    def trial_end(self, parameter_id: int, success: bool, **kwargs: Any) -> None:
        self.ended = (parameter_id, success, kwargs)


def told(tuner: Any, space: SearchSpace = SPACE, seconds: float = 5.0) -> NniTuner:
    searcher = NniTuner(tuner, answer_seconds=seconds)
    searcher.update_search_space(space)
    return searcher


def end(searcher: Searcher, number: int, architecture: Any, value: float = 1.0) -> None:
    searcher.receive_trial_result(number, architecture, value)
    searcher.trial_end(number, True)


# --- the contract ----------------------------------------------------------------------------------------------------


class OnFewerSpaces(SearcherContract):
    def make_spaces(self) -> Sequence[SearchSpace]:
        return example_spaces()[::3]


class TestRandom(SearcherContract):
    def make_searcher(self, seed: int) -> Any:
        return adapt(nni.RandomTuner(seed))


class TestAgeingEvolution(OnFewerSpaces):
    def make_searcher(self, seed: int) -> Any:
        return adapt(nni.AgeingEvolutionTuner(seed, repeats=False))


class TestLate(OnFewerSpaces):
    def make_searcher(self, seed: int) -> Any:
        return NniTuner(nni.LateTuner(seed), answer_seconds=0.0)


class TestShortList(OnFewerSpaces):
    seed_matters = False

    def make_searcher(self, seed: int) -> Any:
        return adapt(nni.ShortListTuner())


@pytest.mark.parametrize("at_once", [1, 5, 16])
@pytest.mark.parametrize(
    "make",
    [
        lambda: nni.RandomTuner(0),
        lambda: nni.AgeingEvolutionTuner(0),
        lambda: nni.LateTuner(0),
        lambda: nni.ShortListTuner(),
    ],
    ids=["random", "evolution", "late", "short lists"],
)
def test_each_searches_in_a_session(make_session: Callable[..., SearchSession], accuracy: Any, make: Any, at_once: int) -> None:
    def evaluate(trial: Trial) -> None:
        if trial.id % 7 == 3:
            raise ValueError(f"no {trial.id}")
        trial.report(accuracy=accuracy(trial.architecture))

    session = make_session(make(), num_trials=40)
    run_local(session, evaluate, EngineOptions(max_concurrent=at_once))
    assert session.error is None
    assert session.num_spent == 40


# --- what it is handed -----------------------------------------------------------------------------------------------


def test_searchers_stay_as_they_are_and_all_else_is_adapted() -> None:
    searcher = Searcher()
    assert adapt(searcher) is searcher
    adapted = adapt(nni.ShortListTuner())
    assert isinstance(adapted, NniTuner)
    assert adapted.name == "ShortListTuner"


@pytest.mark.parametrize("method", ["update_search_space", "generate_parameters", "receive_trial_result"])
def test_what_lacks_a_method_is_refused(method: str) -> None:
    tuner = Scripted()
    setattr(tuner, method, None)
    with pytest.raises(SearcherError, match=rf"Scripted is no searcher: it has no method {method}"):
        adapt(tuner)


def test_it_is_handed_plain_dicts_that_are_its_own() -> None:
    tuner = Scripted(ANY)
    searcher = told(tuner)
    assert tuner.space == SPACE.to_dict()
    assert (type(tuner.space), type(tuner.space["op"]), type(tuner.space["op"]["_value"])) == (dict, dict, list)
    tuner.space["op"]["_value"].clear()
    assert SPACE["op"].candidates == ("conv", "pool", "skip")

    architecture = searcher.generate_parameters(0)
    end(searcher, 0, architecture)
    _, parameters, value, _ = tuner.told
    assert parameters == architecture.to_dict()
    assert (type(parameters), type(value)) == (dict, float)
    parameters["inputs"]["_idx"].clear()
    assert architecture == SPACE.unrank(5)


def test_an_answer_is_a_copy() -> None:
    answer = copy.deepcopy(ANY)
    tuner = Scripted(answer, answer)
    searcher = told(tuner)
    first = searcher.generate_parameters(0)
    answer["width"] = {"_value": 8, "_idx": 0}
    second = searcher.generate_parameters(1)
    assert first["width"].value == ANY["width"]["_value"]
    assert second["width"].value == 8
    end(searcher, 0, first)
    assert tuner.told[1] == ANY


def test_the_keywords_of_nni_go_to_whoever_takes_them() -> None:
    class Picky:
        def update_search_space(self, space: Any) -> None:
            self.seen: dict[str, Any] = {}

        def generate_parameters(self, parameter_id: int, *, st_callback: Any) -> Any:
            self.seen["callback"] = callable(st_callback)
            return ANY

        def receive_trial_result(self, parameter_id: int, _parameters: Any, value: Any, trial_job_id: str) -> None:
            self.seen["trial_job_id"] = trial_job_id

        def trial_end(self, parameter_id: int, _success: bool) -> None:
            self.seen["success"] = _success

    tuner = Picky()
    searcher = told(tuner)
    end(searcher, 0, searcher.generate_parameters(0))
    assert tuner.seen == {"callback": True, "trial_job_id": "0", "success": True}

    takes_all = Scripted(ANY)
    searcher = told(takes_all)
    end(searcher, 0, searcher.generate_parameters(0))
    assert takes_all.told[3] == {"customized": False, "trial_job_id": "0"}
    assert takes_all.ended == (0, True, {"trial_job_id": "0"})


def test_several_objectives_are_a_plain_dict() -> None:
    tuner = Scripted(ANY)
    searcher = told(tuner)
    searcher.receive_trial_result(0, searcher.generate_parameters(0), {"accuracy": 1, "latency": 2.5})
    assert tuner.told[2] == {"accuracy": 1.0, "latency": 2.5}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "0.5"])
def test_what_is_no_number_never_reaches_it(value: Any) -> None:
    tuner = Scripted(ANY)
    searcher = told(tuner)
    architecture = searcher.generate_parameters(0)
    with pytest.raises(ResultError):
        searcher.receive_trial_result(0, architecture, value)
    assert not hasattr(tuner, "told")


# --- what it answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        {"op": {"_value": "pool", "_idex": 1}, "width": 16, "inputs": {"_value": ["x", "z"], "_idx": [0, 2]}},
        {"op": {"_idx": np.int64(1)}, "width": np.int64(16), "inputs": {"_idx": np.array([2, 0])}},
        {"op": {"_value": np.str_("pool")}, "width": {"_value": np.float64(16)}, "inputs": {"_value": ("z", "x")}},
    ],
    ids=["leniently", "numbers of numpy", "names of numpy"],
)
def test_answers_are_read_leniently(answer: Any) -> None:
    expected = {"op": {"_idx": 1}, "width": {"_idx": 1}, "inputs": {"_idx": [0, 2]}}
    assert told(Scripted(answer)).generate_parameters(0) == SPACE.validate(expected)


def test_a_proposal_with_a_budget_keeps_it() -> None:
    proposal = told(Scripted(Proposal(SPACE.unrank(3), budget=9.0))).generate_parameters(0)
    assert proposal == Proposal(SPACE.unrank(3), 9.0)


INVALID = {
    "one input twice": ({**ANY, "inputs": {"_value": ["x", "x"], "_idx": [0, 0]}}, r"'inputs'.*repeated"),
    "a key too many": ({**ANY, "lr": 0.1}, "'lr' is not in the search space"),
    "a key is missing": ({"op": ANY["op"]}, "'width' is missing"),
    "no mapping": ("conv", "found str"),
}


@pytest.mark.parametrize("invalid", INVALID)
def test_an_invalid_answer_is_a_failed_trial(invalid: str) -> None:
    answer, message = INVALID[invalid]
    tuner = Scripted(answer, ANY)
    searcher = told(tuner)
    with pytest.raises(InvalidProposalError, match=f"searcher Scripted, proposal 0: .*{message}"):
        searcher.generate_parameters(0)
    searcher.trial_end(0, False)
    assert tuner.ended[:2] == (0, False)
    assert searcher.generate_parameters(1) == SPACE.unrank(5)
    assert tuner.calls == [0, 1]


def test_one_input_twice_costs_no_trial_of_a_search(make_session: Callable[..., SearchSession], accuracy: Any) -> None:
    tuner = nni.AgeingEvolutionTuner(0, repeats=True)
    session = make_session(tuner, space=SPACE, num_trials=20)
    run_local(session, lambda trial: trial.report(accuracy=accuracy(trial.architecture)), EngineOptions(max_concurrent=4))
    assert session.error is None
    assert session.num_spent == len({record.architecture.digest for record in session.records.values()}) == 20
    assert session.state.num_invalid > 0
    assert not tuner.running


def test_twenty_invalid_answers_in_a_row_end_the_search_by_its_name(make_session: Callable[..., SearchSession]) -> None:
    tuner = Scripted(*[INVALID["one input twice"][0]] * 30)
    session = make_session(tuner, space=SPACE)
    assert session.ask() is None
    assert "Scripted" in str(session.error)
    assert "repeated" in str(session.error)
    assert len(tuner.calls) == 20


def test_keys_that_are_not_active_are_left_out_and_given_back() -> None:
    answer = {"cell": {"_value": "plain"}, "inner": {"_value": "b", "_idx": 1}, "deep": 2}
    tuner = Scripted(answer, {"cell": {"_value": "branch"}, "inner": {"_idx": 2}, "deep": 1})
    searcher = told(tuner, CONDITIONAL)
    architecture = searcher.generate_parameters(0)
    assert architecture == {"cell": {"_value": "plain", "_idx": 0}}
    end(searcher, 0, architecture)
    assert tuner.told[1] == {"cell": {"_value": "plain", "_idx": 0}, "inner": {"_value": "b", "_idx": 1}, "deep": 2}
    assert list(searcher.generate_parameters(1)) == ["cell", "inner", "deep"]


def test_a_tuner_that_knows_conditions_is_read_as_it_is() -> None:
    searcher = told(Scripted({"cell": {"_idx": 1}, "inner": {"_idx": 0}}, {"cell": {"_idx": 1}}), CONDITIONAL)
    assert list(searcher.generate_parameters(0)) == ["cell", "inner"]
    with pytest.raises(InvalidProposalError, match="'inner' is missing"):
        searcher.generate_parameters(1)


# --- wait, and done --------------------------------------------------------------------------------------------------


def test_no_more_trial_error_waits_while_trials_run_and_ends_when_none_does() -> None:
    class NoMoreTrialErrorToo(nni.NoMoreTrialError): ...

    tuner = Scripted(ANY, NoMoreTrialErrorToo(), ANY)
    searcher = told(tuner)
    first = searcher.generate_parameters(0)
    assert searcher.generate_parameters(1) is None
    assert searcher.generate_parameters(1) is None
    assert tuner.calls == [0, 1], "nothing has ended: it is not asked again"
    end(searcher, 0, first)
    second = searcher.generate_parameters(1)
    assert tuner.calls == [0, 1, 1]
    assert searcher.generate_parameters(2) is None
    end(searcher, 1, second)
    with pytest.raises(NoMoreTrials, match="Scripted has nothing more"):
        searcher.generate_parameters(2)


def test_a_short_list_waits_while_trials_run_and_ends_when_none_does() -> None:
    searcher = told(nni.ShortListTuner(room=2), SearchSpace({"width": {"_type": "choice", "_value": [8, 16, 24]}}))
    made = [searcher.generate_parameters(number) for number in range(2)]
    assert searcher.generate_parameters(2) is None
    end(searcher, 0, made[0])
    assert searcher.generate_parameters(2)["width"].value == 24
    end(searcher, 1, made[1])
    assert searcher.generate_parameters(3) is None
    searcher.trial_end(2, False)
    with pytest.raises(NoMoreTrials):
        searcher.generate_parameters(3)


def test_other_exceptions_and_ours_are_passed_on() -> None:
    searcher = told(Scripted(ZeroDivisionError("of no use"), NoMoreTrials("done")))
    with pytest.raises(ZeroDivisionError):
        searcher.generate_parameters(0)
    with pytest.raises(NoMoreTrials, match="done"):
        searcher.generate_parameters(0)


def test_none_means_wait_as_in_our_own_protocol() -> None:
    searcher = told(Scripted(None, ANY))
    assert searcher.generate_parameters(0) is None
    assert searcher.generate_parameters(0) == SPACE.unrank(5)


# --- the callback ----------------------------------------------------------------------------------------------------


def test_the_end_of_a_round_answers_those_who_asked_in_mid_round() -> None:
    tuner = nni.LateTuner(0, round_size=2)
    searcher = told(tuner, seconds=0.0)
    made = [searcher.generate_parameters(number) for number in range(2)]
    assert searcher.generate_parameters(2) is None
    end(searcher, 1, made[1])
    assert searcher.generate_parameters(2) is None
    assert list(tuner.owed) == [2, 3], "as in NNI, a trial that ended is a request more"
    end(searcher, 0, made[0])
    assert not tuner.owed
    made += [searcher.generate_parameters(number) for number in (2, 3)]
    assert tuner.running == {2, 3}
    assert searcher.generate_parameters(4) is None
    for number in (2, 3):
        end(searcher, number, made[number])
    assert searcher.generate_parameters(4) is not None


def test_an_answer_before_the_method_returns_counts() -> None:
    def answers_at_once(parameter_id: int, st_callback: Any) -> None:
        st_callback(parameter_id, ANY)
        st_callback(parameter_id, SPACE.unrank(0).to_dict())

    searcher = told(Scripted(answers_at_once))
    assert searcher.generate_parameters(0) == SPACE.unrank(5), "the first answer to an id counts"


def test_with_nothing_running_an_answer_from_another_thread_is_waited_for() -> None:
    def answers_later(parameter_id: int, st_callback: Any) -> Any:
        threading.Timer(0.2, st_callback, (parameter_id, ANY)).start()
        raise nni.NoMoreTrialError

    searcher = told(Scripted(answers_later))
    assert searcher.generate_parameters(0) == SPACE.unrank(5)


def test_while_trials_run_nobody_waits_for_a_thread() -> None:
    go = threading.Event()

    def answers_later(parameter_id: int, st_callback: Any) -> Any:
        def answer() -> None:
            go.wait(5)
            st_callback(parameter_id, SPACE.unrank(7).to_dict())

        threads.append(threading.Thread(target=answer))
        threads[0].start()
        raise nni.NoMoreTrialError

    threads: list[threading.Thread] = []
    searcher = told(Scripted(ANY, answers_later, SPACE.unrank(9).to_dict()))
    searcher.generate_parameters(0)
    assert searcher.generate_parameters(1) is None
    go.set()
    threads[0].join()
    assert searcher.generate_parameters(1) == SPACE.unrank(7)
    assert searcher.generate_parameters(2) == SPACE.unrank(9)


def test_who_keeps_the_callback_and_never_answers_is_done_after_a_while() -> None:
    kept: list[Any] = []

    def never_answers(_: int, st_callback: Any) -> Any:
        kept.append(st_callback)
        raise nni.NoMoreTrialError

    start = time.monotonic()
    with pytest.raises(NoMoreTrials):
        told(Scripted(never_answers), seconds=0.3).generate_parameters(0)
    assert 0.3 <= time.monotonic() - start < 3


def test_who_keeps_no_callback_is_done_at_once() -> None:
    start = time.monotonic()
    with pytest.raises(NoMoreTrials):
        told(Scripted(), seconds=60).generate_parameters(0)
    assert time.monotonic() - start < 3


def test_a_thread_that_ends_without_an_answer_is_waited_for_no_longer() -> None:
    def gives_up(_: int, st_callback: Any) -> Any:
        threading.Thread(target=lambda _: time.sleep(0.2), args=(st_callback,)).start()
        raise nni.NoMoreTrialError

    start = time.monotonic()
    with pytest.raises(NoMoreTrials):
        told(Scripted(gives_up), seconds=60).generate_parameters(0)
    assert 0.1 < time.monotonic() - start < 10


def test_a_late_answer_serves_the_next_who_asks() -> None:
    """The tuner owes an answer to id 1, and gives one to id 2 first: each is run once, under an id of the session."""
    kept: list[Any] = []

    def owes(_: int, st_callback: Any) -> Any:
        kept.append(st_callback)
        raise nni.NoMoreTrialError

    tuner = Scripted(ANY, owes, SPACE.unrank(7).to_dict(), SPACE.unrank(9).to_dict())
    searcher = told(tuner)
    end_first = searcher.generate_parameters(0)
    assert searcher.generate_parameters(1) is None
    end(searcher, 0, end_first)
    assert searcher.generate_parameters(1) == SPACE.unrank(7)
    assert tuner.calls == [0, 1, 2], "id 1 may still be answered: it is not asked for again"
    kept[0](1, SPACE.unrank(8).to_dict())
    assert searcher.generate_parameters(2) == SPACE.unrank(8)
    end(searcher, 1, SPACE.unrank(7))
    assert tuner.told[:2] == (2, SPACE.unrank(7).to_dict()), "it is told by the id that it knows"
    end(searcher, 2, SPACE.unrank(8))
    assert tuner.told[:2] == (1, SPACE.unrank(8).to_dict())
    assert searcher.generate_parameters(3) == SPACE.unrank(9)
    assert tuner.calls == [0, 1, 2, 3]


def test_an_answer_to_an_id_that_is_not_open_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    kept: list[Any] = []

    def keeps(_: int, st_callback: Any) -> Any:
        kept.append(st_callback)
        return ANY

    searcher = told(Scripted(keeps, SPACE.unrank(2).to_dict()))
    searcher.generate_parameters(0)
    with caplog.at_level(logging.WARNING):
        kept[0](0, SPACE.unrank(1).to_dict())
        kept[0](77, SPACE.unrank(1).to_dict())
    assert [record.message for record in caplog.records] == [
        "searcher Scripted answered id 0, which is not open: ignored",
        "searcher Scripted answered id 77, which is not open: ignored",
    ]
    assert searcher.generate_parameters(1) == SPACE.unrank(2)


# --- what it did not propose -----------------------------------------------------------------------------------------


class Importing(Scripted):
    def import_data(self, data: Any) -> None:
        self.imported = data


def test_imported_data_are_plain_and_its_own() -> None:
    tuner = Importing()
    searcher = told(tuner)
    data = [{"parameter": SPACE.unrank(1), "value": np.float64(0.5)}, {"parameter": ANY, "value": 0.25}]
    searcher.import_data(data)
    assert tuner.imported == [{"parameter": SPACE.unrank(1).to_dict(), "value": 0.5}, {"parameter": ANY, "value": 0.25}]
    assert type(tuner.imported[0]["parameter"]) is dict
    assert type(tuner.imported[0]["value"]) is float
    assert tuner.imported[1]["parameter"] is not ANY


def test_a_result_of_what_it_did_not_propose_is_imported() -> None:
    tuner = Importing(ANY)
    searcher = told(tuner)
    end(searcher, 4, SPACE.unrank(2), 0.5)
    assert tuner.imported == [{"parameter": SPACE.unrank(2).to_dict(), "value": 0.5}]
    searcher.generate_parameters(5)
    end(searcher, 5, SPACE.unrank(3), 0.75)
    assert tuner.imported == [{"parameter": SPACE.unrank(3).to_dict(), "value": 0.75}]
    assert tuner.ended[:2] == (5, False)
    assert not hasattr(tuner, "told")


def test_that_it_cannot_import_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    searcher = told(Scripted())
    with caplog.at_level(logging.WARNING):
        searcher.import_data([{"parameter": ANY, "value": 1.0}])
        end(searcher, 0, SPACE.unrank(0))
    assert [record.message for record in caplog.records] == [
        "searcher Scripted has no import_data: it does not learn what others proposed"
    ]


# --- what is ours ----------------------------------------------------------------------------------------------------


def test_a_constraint_reaches_who_takes_one() -> None:
    class Constrained(Scripted):
        def set_constraint(self, allowed: Any) -> None:
            self.allowed = allowed

    tuner = Constrained()
    told(tuner).set_constraint(lambda architecture: architecture["width"].value == 16)
    assert [tuner.allowed({**ANY, "width": width}) for width in (8, np.int64(16))] == [False, True]
    told(Scripted()).set_constraint(lambda _: True)


class Counting(Scripted):
    """Keeps a state: how many it has proposed."""

    count = 0

    def generate_multiple_parameters(self, parameter_ids: Any, **kwargs: Any) -> Any:
        self.callback = kwargs["st_callback"]
        if self.count % 4 == 3:
            return []
        self.count += 1
        return [SPACE.unrank(self.count).to_dict()]

    def trial_end(self, parameter_id: int, success: bool, **kwargs: Any) -> None:
        self.count += self.count % 4 == 3
        super().trial_end(parameter_id, success)

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.count = state["count"]


def test_a_state_goes_on_with_all_that_is_open() -> None:
    tuner = Counting()
    searcher = told(tuner)
    made = [searcher.generate_parameters(number) for number in range(3)]
    assert searcher.generate_parameters(3) is None
    tuner.callback(3, SPACE.unrank(20).to_dict())
    text = json.dumps(searcher.state_dict())

    again = Counting()
    resumed = told(again)
    resumed.load_state_dict(json.loads(text))
    assert json.dumps(resumed.state_dict()) == text
    for each in (searcher, resumed):
        assert each.generate_parameters(3) == SPACE.unrank(20)
        assert each.generate_parameters(4) is None
        end(each, 1, made[1])
        assert each.generate_parameters(4) == SPACE.unrank(5)
    assert again.told == tuner.told


def test_who_has_no_state_has_none() -> None:
    assert told(Scripted()).state_dict() is None
    assert told(nni.LateTuner(0)).state_dict() is None


def test_several_objectives_are_the_tuners_to_refuse() -> None:
    class One(Scripted):
        multi_objective = False

    assert not adapt(One()).multi_objective
    assert adapt(Scripted()).multi_objective


def test_an_architecture_is_as_good_as_a_dict() -> None:
    architecture = told(Scripted(SPACE.unrank(4))).generate_parameters(0)
    assert isinstance(architecture, Architecture)
    assert architecture == SPACE.unrank(4)
