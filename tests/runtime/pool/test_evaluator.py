"""What an evaluator answers, and when, without an actor around it."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import raynas
from raynas.runtime.pool import evaluator as evaluator_module
from raynas.runtime.pool.evaluator import Answer, Asked, Evaluator, Work
from raynas.runtime.pool.trial_log import take_trial_log

SPACE = raynas.SearchSpace({"width": {"_type": "choice", "_value": [16, 24, 32]}})
Make = Callable[..., Evaluator]


class Context:
    def get_node_id(self) -> str:
        return "node"

    def get_actor_id(self) -> str:
        return "actor"


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes a prepared evaluator."""
    monkeypatch.setattr(evaluator_module.ray, "get_runtime_context", Context)
    monkeypatch.setattr(evaluator_module, "session_folder", lambda node_id: tmp_path)
    made = []

    def prepared(evaluate: Any, trial_timeout: float | None = None) -> Evaluator:
        one = Evaluator()
        place = one.prepare(Work(evaluate, SPACE, ("accuracy",), None, trial_timeout))
        assert place.log == tmp_path / "raynas-trials-actor"
        made.append(one)
        return one

    yield prepared
    for one in made:
        one.close()
    assert not any(tmp_path.iterdir())


def asked(*numbers: int) -> list[Asked]:
    return [Asked(number, 1, [number % 3], None) for number in numbers]


def until(evaluator: Evaluator, number: int) -> list[Answer]:
    """Answers until so many trials have ended."""
    answers: list[Answer] = []
    while sum(len(answer.ended) for answer in answers) < number:
        answers.append(evaluator.exchange([], False))
    return answers


def test_trials_are_evaluated_in_their_order(make: Make) -> None:
    evaluator = make(lambda trial: trial.report(accuracy=trial.architecture["width"].value))
    answer = evaluator.exchange(asked(0, 1, 2, 3), False)
    ended = list(answer.ended)
    for later in until(evaluator, 4 - len(ended)):
        ended += later.ended
    assert [(each.trial_id, each.outcome.metrics) for each in ended] == [
        (number, {"accuracy": width}) for number, width in enumerate([16, 24, 32, 16])
    ]
    assert all(each.attempt == 1 and each.seconds >= 0 for each in ended)


@pytest.mark.parametrize("error", [OSError("disk"), SystemExit(3), KeyboardInterrupt()])
def test_whatever_is_raised_is_an_outcome(make: Make, error: BaseException) -> None:
    def fails(_: raynas.Trial) -> None:
        raise error

    (ended,) = make(fails).exchange(asked(0), False).ended
    assert ended.outcome.error is not None
    assert ended.outcome.error.startswith(f"{type(error).__name__}: {error}")


def test_half_of_what_is_here_is_an_answer_and_the_rest_goes_on(make: Make) -> None:
    held = threading.Event()

    def evaluate(trial: raynas.Trial) -> None:
        if trial.id == 3:
            held.wait(20)
        trial.report(accuracy=1)

    evaluator = make(evaluate)
    answer = evaluator.exchange(asked(*range(6)), False)
    assert [each.trial_id for each in answer.ended] == [0, 1, 2]
    assert answer.num_waiting in (2, 3)
    held.set()
    assert [each.trial_id for later in until(evaluator, 3) for each in later.ended] == [3, 4, 5]


def test_what_was_not_begun_is_given_back(make: Make) -> None:
    held, begun = threading.Event(), threading.Event()

    def evaluate(trial: raynas.Trial) -> None:
        begun.set()
        held.wait(20)
        trial.report(accuracy=1)

    evaluator = make(evaluate)
    evaluator.exchange(asked(0, 1, 2), False)
    begun.wait(20)
    answer = evaluator.exchange([], True)
    assert (answer.given_back, answer.running, answer.ended) == ([1, 2], 0, [])
    assert answer.running_for > 0
    held.set()
    (last,) = until(evaluator, 1)[-1].ended
    assert last.trial_id == 0
    assert evaluator.exchange([], False).ended == []


def test_a_trial_that_reports_is_heard_of_and_one_that_hangs_is_overdue(make: Make, tmp_path: Path) -> None:
    held = threading.Event()

    def evaluate(trial: raynas.Trial) -> None:
        trial.report(accuracy=0.25)
        held.wait(20)

    evaluator = make(evaluate, 0.3)
    start = time.monotonic()
    answer = evaluator.exchange(asked(5), False)
    assert 0.25 < time.monotonic() - start < 0.9
    assert (answer.running, answer.reported, answer.ended) == (5, {"accuracy": 0.25}, [])
    assert answer.running_for >= 0.299
    assert take_trial_log(tmp_path / "raynas-trials-actor").running == 5
    held.set()
    assert until(evaluator, 1)[-1].reported is None
