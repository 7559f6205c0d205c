from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import raynas
import raynas.api.search as search_module
from raynas.errors import OptionError, RunExistsError, SearcherError, SearchStoppedError, UnknownSearcherError

SPACE = raynas.SearchSpace({f"k{i}": {"_type": "choice", "_value": [0, 1, 2]} for i in range(4)})


def evaluate(trial: raynas.Trial) -> None:
    trial.report(accuracy=sum(float(choice.value) for choice in trial.architecture.values()), cost=trial.id)


def test_the_best_trial_keeps_the_users_sign() -> None:
    largest = raynas.search(SPACE, evaluate, num_trials=81)
    smallest = raynas.search(SPACE, evaluate, num_trials=81, mode="min")
    assert (largest.best.value, smallest.best.value) == (8.0, 0.0)
    assert largest.engine == "local"


def test_a_run_folder_holds_space_trials_journal_and_best(tmp_path: Path) -> None:
    result = raynas.search(SPACE, evaluate, num_trials=10, storage_path=tmp_path, name="a")
    folder = tmp_path / "a"
    assert raynas.SearchSpace.load(folder / "search_space.json") == SPACE
    assert raynas.Architecture.load(SPACE, folder / "best.json") == result.best.architecture
    table = pq.read_table(folder / "trials.parquet")
    assert table.num_rows == 10
    assert {"id", "state", "digest", "architecture", "budget", "accuracy", "cost"} <= set(table.column_names)
    assert table.column("state").to_pylist() == ["completed"] * 10
    assert table.equals(result.trials)


def test_resuming_runs_only_what_is_left(tmp_path: Path) -> None:
    ran = []

    def counted(trial: raynas.Trial) -> None:
        ran.append(trial.id)
        evaluate(trial)

    whole = raynas.search(SPACE, evaluate, num_trials=20, searcher="regularized_evolution")
    raynas.search(SPACE, counted, num_trials=8, storage_path=tmp_path, searcher="regularized_evolution")
    resumed = raynas.search(SPACE, counted, num_trials=20, storage_path=tmp_path, searcher="regularized_evolution", resume=True)
    assert len(ran) == len(set(ran)) == 20
    assert resumed.trials.column("digest") == whole.trials.column("digest")


def test_an_existing_run_is_refused(tmp_path: Path) -> None:
    raynas.search(SPACE, evaluate, num_trials=1, storage_path=tmp_path)
    with pytest.raises(RunExistsError):
        raynas.search(SPACE, evaluate, num_trials=1, storage_path=tmp_path)


def test_forbidden_architectures_are_never_run() -> None:
    result = raynas.search(SPACE, evaluate, num_trials=30, constraint=lambda architecture: architecture["k0"].value == 0)
    assert result.num_spent == 27  # a third of 81
    assert {record.architecture["k0"].value for record in result.records.values()} == {0}


def test_failed_trials_are_kept_with_their_cause(tmp_path: Path) -> None:
    def sometimes(trial: raynas.Trial) -> None:
        if trial.id % 3 == 0:
            raise ZeroDivisionError(f"in trial {trial.id}")
        trial.report(accuracy=float("nan") if trial.id % 3 == 1 else 0.5)

    result = raynas.search(SPACE, sometimes, num_trials=9, storage_path=tmp_path)
    assert [record.state for record in result.records.values()] == ["failed", "failed", "completed"] * 3
    errors = pq.read_table(tmp_path / "search" / "trials.parquet").column("error").to_pylist()
    assert errors[0].startswith("ZeroDivisionError: in trial 0\nTraceback")
    assert "'accuracy' is nan" in errors[1]


def test_five_failures_with_one_cause_end_the_search_and_keep_what_was_found(tmp_path: Path) -> None:
    def silent(trial: raynas.Trial) -> float:
        if trial.id == 0:
            trial.report(accuracy=0.5)
        return 0.9

    with pytest.raises(SearchStoppedError, match=r"5 trials in a row.*'accuracy' was not reported.*call trial\.report"):
        raynas.search(SPACE, silent, num_trials=50, storage_path=tmp_path)
    states = pq.read_table(tmp_path / "search" / "trials.parquet").column("state").to_pylist()
    assert states == ["completed"] + ["failed"] * 5


def test_without_a_completed_trial_there_is_no_best() -> None:
    result = raynas.search(SPACE, lambda _: 1 / 0, num_trials=2)
    with pytest.raises(SearchStoppedError, match="division by zero"):
        _ = result.best


@pytest.mark.parametrize("engine", ["pond", ""])
def test_an_unknown_engine_is_refused(engine: str) -> None:
    with pytest.raises(OptionError, match="auto, local, tune, pool"):
        raynas.search(SPACE, evaluate, engine=engine)


@pytest.mark.parametrize("num_trials", [0, -1, 1.5])
def test_num_trials_is_a_positive_integer(num_trials: float) -> None:
    with pytest.raises(OptionError, match="num_trials"):
        raynas.search(SPACE, evaluate, num_trials=num_trials)  # type: ignore[arg-type]


def test_unknown_searchers_and_options_are_named() -> None:
    with pytest.raises(UnknownSearcherError, match="regularized_evolution"):
        raynas.search(SPACE, evaluate, searcher="regularised")
    with pytest.raises(OptionError, match="population"):
        raynas.search(SPACE, evaluate, searcher="random", searcher_options={"population": 3})
    with pytest.raises(SearcherError, match="no method update_search_space"):
        raynas.search(SPACE, evaluate, searcher=object())


def test_a_class_is_set_up_once_and_keeps_its_state() -> None:
    class Counting:
        def setup(self) -> None:
            self.count = 0

        def evaluate(self, trial: raynas.Trial) -> None:
            self.count += 1
            trial.report(accuracy=self.count)

    result = raynas.search(SPACE, Counting, num_trials=5)
    assert result.trials.column("accuracy").to_pylist() == [1, 2, 3, 4, 5]


def never(_: raynas.Architecture) -> bool:
    return False


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"max_concurrent": 0}, OptionError),
        ({"searcher": object()}, SearcherError),
        ({"scheduler": "asha", "engine": "local"}, OptionError),
        ({"initial_architectures": [SPACE.unrank(0)], "constraint": never}, OptionError),
        ({"searcher": raynas.Searcher, "engine": "local"}, SearcherError),
    ],
    ids=["concurrency", "searcher", "scheduler", "initial", "class"],
)
def test_a_search_that_is_refused_leaves_its_name_free(tmp_path: Path, wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        raynas.search(SPACE, evaluate, storage_path=tmp_path, **wrong)
    assert not any(tmp_path.iterdir())
    assert raynas.search(SPACE, evaluate, num_trials=2, storage_path=tmp_path).num_spent == 2


def test_what_a_search_found_before_it_was_refused_stays(tmp_path: Path) -> None:
    raynas.search(SPACE, evaluate, num_trials=2, storage_path=tmp_path)
    with pytest.raises(OptionError):
        raynas.search(SPACE, evaluate, max_concurrent=0, storage_path=tmp_path, resume=True)
    assert raynas.search(SPACE, evaluate, num_trials=3, storage_path=tmp_path, resume=True).num_spent == 3


class Quick:
    engine_with_ray = "pool"

    def evaluate(self, trial: raynas.Trial) -> None:
        evaluate(trial)


@pytest.mark.parametrize(
    ("with_ray", "options", "engine"),
    [
        (False, {}, "local"),
        (False, {"scheduler": "asha"}, "tune"),
        (False, {"callbacks": ["noting"]}, "tune"),
        (False, {"trial_timeout": 5}, "pool"),
        (True, {}, "tune"),
        (True, {"evaluate": Quick}, "pool"),
        (True, {"evaluate": Quick, "scheduler": "asha"}, "tune"),
        (True, {"evaluate": Quick, "engine": "local"}, "local"),
    ],
)
def test_which_engine_auto_takes(monkeypatch: pytest.MonkeyPatch, with_ray: bool, options: dict[str, Any], engine: str) -> None:
    taken = []
    monkeypatch.setattr(search_module, "ray_is_running", lambda: with_ray)
    monkeypatch.setattr(search_module, "_load_engine", lambda engine: lambda *_: taken.append(engine))
    result = raynas.search(SPACE, **{"evaluate": evaluate, **options})
    assert taken == [result.engine] == [engine]


@pytest.mark.parametrize("engine", ["local", "tune"])
def test_a_time_limit_is_the_pools(engine: str) -> None:
    with pytest.raises(OptionError, match='trial_timeout needs engine="pool"'):
        raynas.search(SPACE, evaluate, engine=engine, trial_timeout=3)
