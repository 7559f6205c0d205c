"""Whole searches in one process, and what is left of them when the process dies."""

import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raynas.errors import OptionError
from raynas.explore import EngineOptions, SearchSession, Trial, run_local
from raynas.storage import Storage

MakeSession = Callable[..., SearchSession]

SCRIPT = """
import os, signal, sys
from pathlib import Path
from raynas.explore import *
from raynas.testing import example_spaces

folder, name, die_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])  # after so many trials
space = example_spaces()[3]

def evaluate(trial):
    with (folder / "evaluated").open("a") as file:
        file.write(f"{trial.id}\\n")
    if session.num_spent - session.num_running == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    trial.report(accuracy=int(trial.architecture.digest[:8], 16) / 2**32)

limits = SearchLimits(num_trials=140)
searcher = make_searcher(name, {"seed": 5, "population_size": 12} if name != "random" else {})
session = SearchSession(searcher, space, Objective("accuracy", "max"), limits=limits, journal=Journal(folder / "journal"))
run_local(session, evaluate, EngineOptions(max_concurrent=4))
print(*(record.architecture.digest for record in session.records.values()))
"""


def _run_process(folder: Path, name: str, die_at: int) -> tuple[int, list[str]]:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder, name, str(die_at)], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, done.stdout.split()


def _finished(folder: Path) -> set[int]:
    events = [json.loads(line) for line in (folder / "journal" / "000001.open.jsonl").read_bytes().splitlines()]
    return {event["id"] for event in events if event["event"] == "finished"}


@pytest.mark.parametrize("name", ["random", "regularized_evolution", "spos_evolution"])
def test_a_killed_process_goes_on_as_if_nothing_had_happened(tmp_path: Path, name: str) -> None:
    assert _run_process(tmp_path / "killed", name, 110) == (-signal.SIGKILL, [])  # after the first stored state
    finished = _finished(tmp_path / "killed")
    assert len(finished) == 110
    (tmp_path / "killed" / "evaluated").unlink()
    assert _run_process(tmp_path / "killed", name, -1) == _run_process(tmp_path / "whole", name, -1)
    evaluated = {int(line) for line in (tmp_path / "killed" / "evaluated").read_text().split()}
    assert not evaluated & finished
    assert len(evaluated | finished) == 140


def test_every_trial_is_evaluated_with_its_budget_and_architecture(scripted: Any, make_session: MakeSession) -> None:
    seen: list[tuple[int, str]] = []

    def evaluate(trial: Trial) -> None:
        seen.append((trial.id, trial.architecture.digest))
        trial.report(accuracy=1 / (1 + trial.id))

    session = make_session(scripted(3, 1, 2))
    run_local(session, evaluate, EngineOptions())
    assert seen == [(record.id, record.architecture.digest) for record in session.records.values()]
    assert [record.state for record in session.records.values()] == ["completed"] * 3
    assert session.best().id == 0


def test_failures_are_told_with_their_cause(scripted: Any, make_session: MakeSession) -> None:
    def evaluate(trial: Trial) -> None:
        if trial.id == 1:
            raise OSError("disk")
        trial.report(accuracy=1)

    searcher = scripted(0, 1, 2)
    session = make_session(searcher)
    run_local(session, evaluate, EngineOptions())
    assert searcher.ends == [(0, True), (1, False), (2, True)]
    assert session.records[1].error.startswith("OSError: disk\n")


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_that_many_proposals_are_outstanding(scripted: Any, make_session: MakeSession, at_once: int) -> None:
    running: list[int] = []

    def evaluate(trial: Trial) -> None:
        running.append(session.num_running)
        trial.report(accuracy=1)

    session = make_session(scripted(*range(10)))
    run_local(session, evaluate, EngineOptions(max_concurrent=at_once))
    assert max(running) == running[0] == at_once
    assert len(running) == 10


def test_setup_is_called_once_for_all_trials(scripted: Any, make_session: MakeSession) -> None:
    calls: list[str] = []

    class Evaluator:
        def setup(self) -> None:
            calls.append("setup")

        def evaluate(self, trial: Trial) -> None:
            calls.append("evaluate")
            trial.report(accuracy=1)

    run_local(make_session(scripted(0, 1)), Evaluator, EngineOptions())
    assert calls == ["setup", "evaluate", "evaluate"]


def test_each_trial_saves_in_a_folder_of_its_own(scripted: Any, make_session: MakeSession, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("kept")

    def evaluate(trial: Trial) -> None:
        assert trial.load() is None
        trial.save(tmp_path / "weights")
        trial.report(accuracy=1)

    session = make_session(scripted(0, 1))
    run_local(session, evaluate, EngineOptions(storage=Storage(tmp_path / "run")))
    assert [record.state for record in session.records.values()] == ["completed"] * 2
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["00000", "00001"]
    assert EngineOptions().checkpoints is None


def test_ctrl_c_leaves_the_trial_running(scripted: Any, make_session: MakeSession) -> None:
    def evaluate(trial: Trial) -> None:
        if trial.id == 1:
            raise KeyboardInterrupt
        trial.report(accuracy=1)

    session = make_session(scripted(0, 1))
    with pytest.raises(KeyboardInterrupt):
        run_local(session, evaluate, EngineOptions())
    assert [record.state for record in session.records.values()] == ["completed", "running"]


@pytest.mark.parametrize("at_once", [0, -1, 1.5, "2", True])
def test_less_than_one_at_once_is_refused(at_once: Any) -> None:
    with pytest.raises(OptionError, match=f"max_concurrent is {at_once!r}"):
        EngineOptions(max_concurrent=at_once)


@pytest.mark.parametrize("amount", [-1, "half", None, math.nan, math.inf, True])
def test_resources_are_numbers(amount: Any) -> None:
    with pytest.raises(OptionError, match=f"resources_per_trial has gpu={amount!r}"):
        EngineOptions(resources_per_trial={"cpu": 1, "gpu": amount})


@pytest.mark.parametrize("seconds", [0, -1, True, "2", math.nan, math.inf])
def test_a_time_limit_is_a_positive_number(seconds: Any) -> None:
    with pytest.raises(OptionError, match=f"trial_timeout is {seconds!r}"):
        EngineOptions(trial_timeout=seconds)


def test_what_other_engines_do_is_refused(scripted: Any, make_session: MakeSession) -> None:
    for options, engine in ((EngineOptions(scheduler=object()), "tune"), (EngineOptions(trial_timeout=1.0), "pool")):
        with pytest.raises(OptionError, match=f'engine="{engine}"'):
            run_local(make_session(scripted(0)), lambda trial: None, options)
