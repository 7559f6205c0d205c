"""What ``evaluate(trial)`` is handed, and how it is called."""

import math
from pathlib import Path
from typing import Any

import pytest

from raynas.errors import OptionError
from raynas.explore import Outcome, Trial, prepare_evaluate, run_trial
from raynas.space import SearchSpace
from raynas.storage import Storage


@pytest.fixture
def trial(space: SearchSpace, tmp_path: Path) -> Trial:
    return Trial(7, space.unrank(0), budget=2, checkpoints=Storage(tmp_path / "checkpoints"))


# --- the trial -------------------------------------------------------------------------------------------------------


def test_what_is_reported_later_replaces_what_was_before(trial: Trial) -> None:
    trial.report(accuracy=0.1, loss=3)
    trial.report(accuracy=0.9)
    assert trial.metrics == {"accuracy": 0.9, "loss": 3.0}
    assert all(type(value) is float for value in trial.metrics.values())


@pytest.mark.parametrize("value", ["high", None, [1, 2], 1j, 10**400])
def test_what_is_no_number_cannot_be_reported(trial: Trial, value: Any) -> None:
    with pytest.raises(OptionError, match=r"metric 'accuracy' is .*accuracy=0\.93"):
        trial.report(accuracy=value)


def test_what_is_saved_is_kept_under_the_trials_id(trial: Trial, tmp_path: Path) -> None:
    assert trial.load() is None
    (tmp_path / "weights").write_text("kept")
    trial.save(str(tmp_path / "weights"))
    assert trial.load() == tmp_path / "checkpoints" / "00007"


def test_nothing_can_be_saved_without_a_run_folder(space: SearchSpace, tmp_path: Path) -> None:
    trial = Trial(0, space.unrank(0))
    with pytest.raises(OptionError, match="storage_path"):
        trial.save(tmp_path)
    assert trial.load() is None


# --- evaluate --------------------------------------------------------------------------------------------------------


class Counted:
    """Notes its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def setup(self) -> None:
        self.calls.append("setup")

    def evaluate(self, trial: Trial) -> None:
        self.calls.append(f"evaluate {trial.id}")


def test_setup_is_called_once_before_any_trial(trial: Trial) -> None:
    counted = Counted()
    evaluate = prepare_evaluate(counted)
    evaluate(trial)
    evaluate(trial)
    assert counted.calls == ["setup", "evaluate 7", "evaluate 7"]


def test_a_class_is_made_first(trial: Trial) -> None:
    evaluate = prepare_evaluate(Counted)
    evaluate(trial)
    assert evaluate.__self__.calls == ["setup", "evaluate 7"]  # type: ignore[attr-defined]


def test_setup_may_be_left_out(trial: Trial) -> None:
    class Bare:
        def evaluate(self, trial: Trial) -> None:
            trial.report(accuracy=1)

    prepare_evaluate(Bare)(trial)
    assert trial.metrics == {"accuracy": 1.0}


@pytest.mark.parametrize("evaluate", [None, 7, "evaluate"])
def test_what_cannot_evaluate_is_refused(evaluate: Any) -> None:
    with pytest.raises(OptionError, match="expected a function of a trial"):
        prepare_evaluate(evaluate)


# --- outcomes --------------------------------------------------------------------------------------------------------


def test_a_good_trial_has_metrics_and_no_error(trial: Trial) -> None:
    assert run_trial(lambda trial: trial.report(accuracy=0.5), trial, ("accuracy",)) == Outcome({"accuracy": 0.5})


def test_what_it_raises_is_the_cause_and_what_it_reported_stays(trial: Trial) -> None:
    def evaluate(trial: Trial) -> None:
        trial.report(loss=3)
        raise ValueError("too wide\nby far")

    outcome = run_trial(evaluate, trial, ("accuracy",))
    assert outcome.error is not None
    assert outcome.error.splitlines()[0] == "ValueError: too wide"
    assert "in evaluate" in outcome.error
    assert outcome.metrics == {"loss": 3.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_finite_is_a_failure(trial: Trial, value: float) -> None:
    outcome = run_trial(lambda trial: trial.report(accuracy=value), trial, ("accuracy",))
    assert outcome.error == f"metric 'accuracy' is {value}, which is no result"


def test_a_missing_metric_is_a_failure_that_says_what_there_was(trial: Trial) -> None:
    outcome = run_trial(lambda trial: trial.report(acc=1), trial, ("accuracy",))
    assert outcome.error == "metric 'accuracy' was not reported; reported: acc"


def test_whoever_returns_the_metric_is_told_to_report_it(trial: Trial) -> None:
    outcome = run_trial(lambda _: 0.93, trial, ("accuracy",))
    assert outcome.error is not None
    assert "evaluate returned 0.93, call trial.report(accuracy=...)" in outcome.error


def test_other_metrics_may_be_anything(trial: Trial) -> None:
    assert run_trial(lambda trial: trial.report(accuracy=1, other=math.nan), trial, ("accuracy",)).error is None


def test_ctrl_c_is_no_failure(trial: Trial) -> None:
    def evaluate(_: Trial) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(evaluate, trial, ("accuracy",))
