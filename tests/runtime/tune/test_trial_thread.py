"""One trial in a thread: held at its reports, stopped at them, and never lost."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import raynas
from raynas.errors import TrialStopped
from raynas.explore import Evaluate, Outcome, Trial
from raynas.runtime.tune.trial_thread import REPORT_EVERY, TrialThread

SPACE = raynas.SearchSpace({"width": {"_type": "choice", "_value": [16, 24]}})


def _start(evaluate: Evaluate, *, held: bool) -> TrialThread:
    def make(on_report: Callable[[dict[str, float]], None]) -> Trial:
        return Trial(3, SPACE.unrank(0), on_report=on_report)

    return TrialThread(evaluate, make, ("accuracy",), held=held)


def _epochs(done: list[int], number: int = 4) -> Evaluate:
    def evaluate(trial: Trial) -> None:
        for epoch in range(number):
            done.append(epoch)
            trial.report(accuracy=epoch)

    return evaluate


def test_a_held_trial_waits_at_each_report_until_it_is_let_go_on() -> None:
    done: list[int] = []
    thread = _start(_epochs(done), held=True)
    for epoch in range(4):
        assert thread.advance() == {"accuracy": epoch}
        time.sleep(0.02)
        assert done == list(range(epoch + 1))
    assert thread.advance() == Outcome({"accuracy": 3.0})


def test_a_stopped_trial_goes_no_further_and_may_clean_up() -> None:
    done: list[int] = []

    def evaluate(trial: Trial) -> None:
        try:
            _epochs(done)(trial)
        except Exception:
            done.append(-1)  # TrialStopped is none
        finally:
            done.append(99)

    thread = _start(evaluate, held=True)
    thread.advance()
    thread.advance()
    assert thread.stop(5.0)
    assert done == [0, 1, 99]


def test_a_trial_that_swallows_it_is_stopped_at_its_next_report_again() -> None:
    swallowed: list[int] = []

    def evaluate(trial: Trial) -> None:
        for epoch in range(3):
            try:
                trial.report(accuracy=epoch)
            except TrialStopped:
                swallowed.append(epoch)

    thread = _start(evaluate, held=True)
    thread.advance()
    assert thread.stop(5.0)
    assert swallowed == [0, 1, 2]


def test_one_that_does_not_end_in_time_is_said() -> None:
    release = threading.Event()

    def evaluate(trial: Trial) -> None:
        try:
            trial.report(accuracy=1)
        finally:
            release.wait(10)

    thread = _start(evaluate, held=True)
    thread.advance()
    assert not thread.stop(0.1)
    release.set()
    assert thread.stop(5.0)


def test_a_trial_that_is_not_held_runs_on_and_quick_ones_end_at_once() -> None:
    done: list[int] = []
    start = time.monotonic()
    assert _start(_epochs(done), held=False).advance() == Outcome({"accuracy": 3.0})
    assert time.monotonic() - start < REPORT_EVERY
    assert done == [0, 1, 2, 3]


def test_figures_of_a_long_trial_that_is_not_held_come_now_and_then() -> None:
    def evaluate(trial: Trial) -> None:
        for epoch in range(24):
            trial.report(accuracy=epoch)
            time.sleep(REPORT_EVERY / 8)

    thread, reached = _start(evaluate, held=False), []
    while not isinstance(at := thread.advance(), Outcome):
        reached.append(at["accuracy"])
    assert 1 <= len(reached) <= 4
    assert reached == sorted(set(reached))
    assert at.metrics == {"accuracy": 23.0}


@pytest.mark.parametrize(
    ("raised", "named"), [(ValueError("no"), "ValueError: no"), (SystemExit(3), "SystemExit: 3"), (KeyboardInterrupt(), "Key")]
)
def test_whatever_is_raised_is_a_failure_with_its_cause(raised: BaseException, named: str) -> None:
    def evaluate(_: Trial) -> None:
        raise raised

    reached: Any = _start(evaluate, held=True).advance()
    assert reached.error.startswith(named)


def test_a_user_may_stop_a_trial() -> None:
    def evaluate(trial: Trial) -> None:
        trial.report(accuracy=1)
        raise TrialStopped

    assert _start(evaluate, held=False).advance() == Outcome({"accuracy": 1.0}, stopped=True)
