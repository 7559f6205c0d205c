"""The same search through Ray Tune: schedulers, slices, workers that die."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune
from ray.tune.logger import TBXLoggerCallback
from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule

import raynas
from raynas.errors import SearchStoppedError, TaskError
from raynas.explore import make_searcher
from raynas.runtime.tune import tune_engine

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]

SPACE = raynas.SearchSpace({f"k{i}": {"_type": "choice", "_value": [0, 1, 2]} for i in range(6)})
OPTIONS = {"population_size": 12, "num_parents": 4, "seed": 3}


def evaluate(trial: raynas.Trial) -> None:
    trial.report(accuracy=sum(int(choice.value) * (i + 1) for i, choice in enumerate(trial.architecture.values())))


def all_cpus(num_slots: int = 1) -> dict[str, float]:
    """Resources so that no room is left: where there is, Tune starts a worker for each quick trial, and throws it away."""
    return {"cpu": ray.cluster_resources()["CPU"] / num_slots}


def test_the_result_does_not_depend_on_the_engine_or_on_how_many_run_at_once(tmp_path: Path) -> None:
    local = raynas.search(SPACE, evaluate, searcher="spos_evolution", searcher_options=OPTIONS, num_trials=30, engine="local")
    tuned = raynas.search(
        SPACE,
        evaluate,
        searcher="spos_evolution",
        searcher_options=OPTIONS,
        num_trials=30,
        engine="tune",
        max_concurrent=3,
        resources_per_trial=all_cpus(3),
        storage_path=tmp_path,
    )
    assert tuned.trials.column("digest") == local.trials.column("digest")
    assert tuned.trials.column("accuracy") == local.trials.column("accuracy")
    assert tuned.best.architecture == local.best.architecture
    assert raynas.Architecture.load(SPACE, tmp_path / "search" / "best.json") == tuned.best.architecture


def test_trials_that_raise_fail_the_search_goes_on_and_what_is_saved_is_in_the_run_folder(tmp_path: Path) -> None:
    def sometimes(trial: raynas.Trial) -> None:
        if trial.id % 2:
            raise ZeroDivisionError(f"in trial {trial.id}")
        path = tmp_path / f"{trial.id}.txt"
        path.write_text(str(trial.id))
        trial.save(path)
        trial.report(accuracy=1)

    result = raynas.search(
        SPACE, sometimes, num_trials=8, engine="tune", resources_per_trial=all_cpus(), storage_path=tmp_path / "runs"
    )
    assert [record.state for record in result.records.values()] == ["completed", "failed"] * 4
    assert str(result.records[1].error).startswith("ZeroDivisionError: in trial 1\nTraceback")
    kept = tmp_path / "runs" / "search" / "checkpoints" / "00002" / "2.txt"
    assert kept.read_text() == "2"


def test_a_worker_that_dies_is_replaced_and_its_trial_runs_again_under_its_id(tmp_path: Path) -> None:
    died = tmp_path / "died"

    def dies_once(trial: raynas.Trial) -> None:
        if trial.id == 3 and not died.exists():
            died.touch()
            os._exit(1)
        trial.report(accuracy=trial.id)

    result = raynas.search(SPACE, dies_once, num_trials=6, engine="tune", resources_per_trial=all_cpus())
    assert died.exists()
    assert {record.state for record in result.records.values()} == {"completed"}
    assert result.trials.column("accuracy").to_pylist() == [0, 1, 2, 3, 4, 5]


def test_a_metric_that_never_arrives_ends_the_search_with_its_name() -> None:
    with pytest.raises(SearchStoppedError, match=r"'accuracy' was not reported; reported: loss"):
        raynas.search(SPACE, lambda trial: trial.report(loss=1.0), num_trials=50, engine="tune", resources_per_trial=all_cpus())


def test_what_cannot_be_pickled_is_named() -> None:
    lock = threading.Lock()
    with pytest.raises(TaskError, match=r"evaluate.* cannot be pickled"):
        raynas.search(SPACE, lambda _: lock.acquire(), num_trials=1, engine="tune")


@pytest.mark.parametrize(
    "scheduler",
    [
        ASHAScheduler(grace_period=1, max_t=9, reduction_factor=3),
        pytest.param(
            MedianStoppingRule(time_attr="training_iteration", grace_period=1, min_samples_required=3),
            marks=pytest.mark.nightly,
        ),
    ],
    ids=["asha", "median"],
)
def test_a_scheduler_stops_trials_and_their_epochs_are_not_run(tmp_path: Path, scheduler: Any) -> None:
    epochs, saved = tmp_path / "epochs", tmp_path / "saved"
    saved.mkdir()

    def train(trial: raynas.Trial) -> None:
        start = sum(int(choice.value) * (i + 1) for i, choice in enumerate(trial.architecture.values()))
        for epoch in range(9):
            with epochs.open("a") as file:
                file.write(f"{trial.id} {epoch}\n")
            trial.save(saved)
            trial.report(accuracy=start + epoch)

    result = raynas.search(SPACE, train, num_trials=24, scheduler=scheduler, storage_path=tmp_path, progress=False)
    ran = epochs.read_text().splitlines()
    ends = [record.state for record in result.records.values()]
    assert result.engine == "tune"
    assert len(ran) == len(set(ran)) < 24 * 9 / 2
    assert set(ends) == {"completed", "stopped"}
    assert result.best.metrics["accuracy"] == max(
        record.metrics["accuracy"] for record in result.records.values() if record.state == "completed"
    )
    for record in result.records.values():
        last = max(int(line.split()[1]) for line in ran if line.split()[0] == str(record.id))
        start = sum(int(choice.value) * (i + 1) for i, choice in enumerate(record.architecture.values()))
        assert record.metrics == {"accuracy": start + last}  # what a stopped trial reported stays


@pytest.mark.nightly
def test_slices_are_one_search(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"population_size": 8, "sample_size": 3}
    whole = raynas.search(
        SPACE, evaluate, searcher="regularized_evolution", searcher_options=options, num_trials=14, engine="local"
    )
    monkeypatch.setattr(tune_engine, "SLICE", 8)
    sliced = raynas.search(
        SPACE,
        evaluate,
        searcher="regularized_evolution",
        searcher_options=options,
        num_trials=14,
        engine="tune",
        resources_per_trial=all_cpus(),
    )
    assert sliced.trials.column("digest") == whole.trials.column("digest")
    assert sliced.num_spent == 14


def test_tune_callbacks_are_told_of_every_report(tmp_path: Path) -> None:
    seen: list[float] = []

    class Noting(tune.Callback):
        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
            seen.append(result["accuracy"])

    def train(trial: raynas.Trial) -> None:
        for epoch in range(3):
            trial.report(accuracy=epoch)

    callbacks = [Noting(), TBXLoggerCallback()]
    raynas.search(SPACE, train, num_trials=2, callbacks=callbacks, resources_per_trial=all_cpus(), storage_path=tmp_path)
    assert sorted(seen)[::2] == [0, 1, 2, 2]  # the end of a trial repeats its last figures
    kept = [path.name for path in (tmp_path / "search" / ".ray").rglob("*.*")]
    assert sum(name.startswith("events.out.tfevents") for name in kept) == 2
    assert not [name for name in kept if name.startswith(("progress.csv", "result.json"))]  # Tune's own, which are slow


def test_a_trial_that_fails_is_run_again_on_request(tmp_path: Path) -> None:
    def fails_once(trial: raynas.Trial) -> None:
        tried = tmp_path / str(trial.id)
        if not tried.exists():
            tried.touch()
            raise OSError("once")
        trial.report(accuracy=1)

    result = raynas.search(
        SPACE, fails_once, num_trials=3, engine="tune", max_failures_per_trial=1, resources_per_trial=all_cpus()
    )
    assert result.trials.column("state").to_pylist() == ["completed"] * 3
    assert result.trials.column("attempt").to_pylist() == [2, 2, 2]


@pytest.mark.nightly
def test_the_stock_searchers_load_beside_a_users_own_folder_of_that_name(tmp_path: Path) -> None:
    package = tmp_path / "searchers"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('this is the user\\'s own')")
    (package / "random.py").write_text("raise ImportError('this too')")

    def evaluate_there(trial: raynas.Trial) -> None:
        sys.path.insert(0, str(tmp_path))
        os.chdir(tmp_path)
        for name in raynas.searchers():
            make_searcher(name, {})
        trial.report(accuracy=1)

    code = "import raynas.explore; print([raynas.explore.make_searcher(name, {}) and 1 for name in raynas.searchers()])"
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as here:
        assert raynas.search(SPACE, evaluate_there, num_trials=1, engine="tune").best.value == 1
        assert here.communicate(timeout=60)[0].strip() == str([1] * len(raynas.searchers()))
