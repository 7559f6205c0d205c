"""One real evaluator, seen from the driver."""

import os
import signal
import time
from typing import Any

import pytest
import ray

import raynas
from raynas.explore import TrialRecord
from raynas.runtime.cluster.connection import broadcast
from raynas.runtime.pool.evaluator import Work
from raynas.runtime.pool.evaluator_handle import EvaluatorHandle
from raynas.runtime.pool.trial_log import Left

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]

SPACE = raynas.SearchSpace({"width": {"_type": "choice", "_value": [16, 24, 32]}})


def start(evaluate: Any) -> EvaluatorHandle:
    work = broadcast(Work(evaluate, SPACE, ("accuracy",), None, None), "")
    handle = EvaluatorHandle({"CPU": 1}, work, 0)
    assert not handle.is_ready
    assert handle.host is None
    handle.place, handle.call = ray.get(handle.call), None
    assert handle.is_ready
    return handle


def take_all(handle: EvaluatorHandle) -> None:
    while True:
        handle.take_answer()
        handle.exchange([])


def test_trials_go_there_and_results_come_back() -> None:
    handle = start(lambda trial: trial.report(accuracy=trial.architecture["width"].value))
    record = TrialRecord(4, SPACE.unrank(1))
    assert handle.exchange([record]) is None, "before the first answer there is no way to measure"
    assert handle.trials == {4: record}
    (ended,) = handle.take_answer().ended
    assert (ended.trial_id, ended.attempt, ended.outcome.metrics) == (4, 1, {"accuracy": 24})
    seconds = handle.exchange([TrialRecord(5, SPACE.unrank(2))])
    assert seconds is not None
    assert 0 < seconds < 5
    handle.take_answer()
    assert handle.silent_for == 0
    assert handle.exchange([]) is None
    ray.get(handle.close())
    handle.end()


def test_what_a_killed_one_left_is_found() -> None:
    def evaluate(trial: raynas.Trial) -> None:
        if trial.id == 2:
            time.sleep(600)
        trial.report(accuracy=1)

    handle = start(evaluate)
    handle.exchange([TrialRecord(number, SPACE.unrank(number % 3)) for number in range(4)])
    place = handle.place
    assert place is not None
    while b"\n2\n" not in place.log.read_bytes():
        time.sleep(0.01)
    os.kill(place.pid, signal.SIGKILL)
    with pytest.raises(ray.exceptions.RayActorError):
        take_all(handle)
    handle.lose("it died")
    assert not handle.is_ready
    left = ray.get(handle.call)
    assert isinstance(left, Left)
    assert ([ended.trial_id for ended in left.ended], left.running) == ([0, 1], 2)
    assert not place.log.exists()
