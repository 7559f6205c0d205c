"""What a worker of the Tune engine does, called as Tune calls it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray.cloudpickle

import raynas
from raynas.explore import EngineOptions
from raynas.runtime.tune.trial_runner import TrialRunner
from raynas.storage import Storage

SPACE = raynas.SearchSpace({f"k{i}": {"_type": "choice", "_value": [0, 1, 2]} for i in range(2)})


class Training:
    """Three epochs; notes in a file what happens."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def note(self, text: str) -> None:
        with self.log.open("a") as file:
            file.write(f"{text}\n")

    def setup(self) -> None:
        self.note("setup")

    def evaluate(self, trial: raynas.Trial) -> None:
        try:
            for epoch in range(3):
                self.note(f"trial {trial.id} epoch {epoch}")
                trial.report(accuracy=epoch, done=7.0)
        finally:
            self.note(f"trial {trial.id} over")


def _config(number: int) -> dict[str, Any]:
    return {"trial": json.dumps({"id": number, "architecture": SPACE.unrank(number).to_row(), "budget": 2.5})}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def make_runner(tmp_path: Path) -> Iterator[Any]:
    made: list[TrialRunner] = []

    def make(evaluate: Any, *, held: bool) -> TrialRunner:
        payload = ray.cloudpickle.dumps((evaluate, SPACE, ("accuracy",), EngineOptions(storage=Storage(tmp_path)), held))
        runner = TrialRunner(config=_config(1))
        runner.setup(_config(1), payload=payload)
        made.append(runner)
        return runner

    yield make
    for runner in made:
        runner.cleanup()


def test_with_a_scheduler_each_report_is_a_step_and_the_end_another(make_runner: Any, log: Path) -> None:
    runner = make_runner(Training(log), held=True)
    for epoch in range(3):
        result = runner.step()
        assert (result["accuracy"], json.loads(result["reported"])) == (epoch, {"accuracy": epoch, "done": 7.0})
        assert "done" not in result  # Tune's own word is not the user's metric
        assert log.read_text().splitlines()[-1] == f"trial 1 epoch {epoch}"
    end = runner.step()
    told = json.loads(end["told"])
    assert (end["done"], told["metrics"], told["error"], told["stopped"]) == (True, {"accuracy": 2.0, "done": 7.0}, None, False)
    assert told["node"]
    assert told["start"] > 0


def test_without_one_a_trial_is_one_step(make_runner: Any, log: Path) -> None:
    runner = make_runner(Training(log), held=False)
    assert json.loads(runner.step()["told"])["metrics"] == {"accuracy": 2.0, "done": 7.0}
    assert runner.reset_config(_config(2))
    assert runner.step()["done"]
    assert log.read_text().splitlines().count("setup") == 1
    assert log.read_text().splitlines()[-1] == "trial 2 over"


@pytest.mark.parametrize("ending", ["reset_config", "cleanup"])
def test_a_trial_that_tune_leaves_goes_no_further(make_runner: Any, log: Path, ending: str) -> None:
    runner = make_runner(Training(log), held=True)
    runner.step()
    if ending == "cleanup":
        runner.cleanup()
    else:
        assert runner.reset_config(_config(2))
    assert log.read_text().splitlines() == ["setup", "trial 1 epoch 0", "trial 1 over"]


def test_a_trial_is_handed_what_was_asked_for(make_runner: Any) -> None:
    def evaluate(trial: raynas.Trial) -> None:
        assert trial.architecture == SPACE.unrank(1)
        trial.report(accuracy=trial.id, budget=trial.budget)

    told = json.loads(make_runner(evaluate, held=False).step()["told"])
    assert (told["error"], told["metrics"]) == (None, {"accuracy": 1.0, "budget": 2.5})


def test_an_error_is_told_and_the_worker_goes_on(make_runner: Any) -> None:
    def evaluate(trial: raynas.Trial) -> None:
        if trial.id == 1:
            raise SystemExit("out")
        trial.report(accuracy=1)

    runner = make_runner(evaluate, held=False)
    assert json.loads(runner.step()["told"])["error"].startswith("SystemExit: out")
    assert runner.reset_config(_config(2))
    assert json.loads(runner.step()["told"])["error"] is None


class CannotBeSetUp:
    def setup(self) -> None:
        raise FileNotFoundError("no data here")

    def evaluate(self, trial: raynas.Trial) -> None: ...


def test_what_goes_wrong_before_the_first_trial_is_told_as_its_cause(make_runner: Any) -> None:
    told = json.loads(make_runner(CannotBeSetUp(), held=False).step()["told"])
    assert told["error"].startswith("FileNotFoundError: no data here\nTraceback")
    runner = TrialRunner(config=_config(1))
    runner.setup(_config(1), payload=b"cnowhere_to_be_found\nevaluate\n.")
    told = json.loads(runner.step()["told"])
    assert told["error"].startswith("ModuleNotFoundError: No module named 'nowhere_to_be_found'")


@pytest.mark.parametrize(("use_gpu", "in_sight"), [(True, "0,1"), (False, "")])
def test_gpus_that_were_not_asked_for_are_out_of_sight(monkeypatch: pytest.MonkeyPatch, use_gpu: bool, in_sight: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    TrialRunner(config=_config(1)).setup(_config(1), use_gpu=use_gpu)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == in_sight
