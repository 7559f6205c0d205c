import os
import threading
from pathlib import Path

import pytest

import raynas
from raynas.errors import SearchStoppedError, TaskError

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]

SPACE = raynas.SearchSpace({f"k{i}": {"_type": "choice", "_value": [0, 1, 2]} for i in range(6)})
OPTIONS = {"population_size": 12, "num_parents": 4, "seed": 3}


def evaluate(trial: raynas.Trial) -> None:
    trial.report(accuracy=sum(int(choice.value) * (i + 1) for i, choice in enumerate(trial.architecture.values())))


@pytest.mark.parametrize("max_concurrent", [2, 8])
def test_the_result_does_not_depend_on_the_engine_or_on_how_many_run_at_once(tmp_path: Path, max_concurrent: int) -> None:
    local = raynas.search(SPACE, evaluate, searcher="spos_evolution", searcher_options=OPTIONS, num_trials=30, engine="local")
    tuned = raynas.search(
        SPACE,
        evaluate,
        searcher="spos_evolution",
        searcher_options=OPTIONS,
        num_trials=30,
        engine="tune",
        max_concurrent=max_concurrent,
        resources_per_trial={"cpu": 0.25},
        storage_path=tmp_path,
    )
    assert tuned.trials.column("digest") == local.trials.column("digest")
    assert tuned.trials.column("accuracy") == local.trials.column("accuracy")
    assert tuned.best.architecture == local.best.architecture
    assert raynas.Architecture.load(SPACE, tmp_path / "search" / "best.json") == tuned.best.architecture


def test_trials_that_raise_fail_and_the_search_goes_on() -> None:
    def sometimes(trial: raynas.Trial) -> None:
        if trial.id % 2:
            raise ZeroDivisionError(f"in trial {trial.id}")
        trial.report(accuracy=1)

    result = raynas.search(SPACE, sometimes, num_trials=8, engine="tune")
    assert [record.state for record in result.records.values()] == ["completed", "failed"] * 4
    assert str(result.records[1].error).startswith("ZeroDivisionError: in trial 1\nTraceback")


def test_a_worker_that_dies_is_replaced_and_its_trial_runs_again_under_its_id(tmp_path: Path) -> None:
    died = tmp_path / "died"

    def dies_once(trial: raynas.Trial) -> None:
        if trial.id == 3 and not died.exists():
            died.touch()
            os._exit(1)
        trial.report(accuracy=trial.id)

    result = raynas.search(SPACE, dies_once, num_trials=6, engine="tune")
    assert died.exists()
    assert {record.state for record in result.records.values()} == {"completed"}
    assert result.trials.column("accuracy").to_pylist() == [0, 1, 2, 3, 4, 5]


def test_a_metric_that_never_arrives_ends_the_search_with_its_name() -> None:
    with pytest.raises(SearchStoppedError, match=r"'accuracy' was not reported; reported: loss"):
        raynas.search(SPACE, lambda trial: trial.report(loss=1.0), num_trials=50, engine="tune")


def test_what_a_trial_saves_is_in_the_run_folder(tmp_path: Path) -> None:
    def saves(trial: raynas.Trial) -> None:
        path = tmp_path / f"{trial.id}.txt"
        path.write_text(str(trial.id))
        trial.save(path)
        trial.report(accuracy=1)

    raynas.search(SPACE, saves, num_trials=2, engine="tune", storage_path=tmp_path / "runs")
    kept = tmp_path / "runs" / "search" / "checkpoints" / "00001" / "1.txt"
    assert kept.read_text() == "1"


def test_what_cannot_be_pickled_is_named() -> None:
    lock = threading.Lock()
    with pytest.raises(TaskError, match=r"evaluate.* cannot be pickled"):
        raynas.search(SPACE, lambda _: lock.acquire(), num_trials=1, engine="tune")
