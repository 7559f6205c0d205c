"""Results from elsewhere: what is read, and what is refused."""

import math
from pathlib import Path
from typing import Any

import pytest

import raynas
from raynas.api.known_results import read_known
from raynas.errors import ArchitectureError, OptionError, RunDamagedError, RunNotFoundError
from raynas.explore import Objective

SPACE = raynas.SearchSpace({f"k{i}": {"_type": "choice", "_value": [0, 1, 2]} for i in range(4)})
OTHER = raynas.SearchSpace({"k0": {"_type": "choice", "_value": [0, 1]}})
FIRST = SPACE.unrank(0)


def evaluate(trial: raynas.Trial) -> None:
    if trial.id % 3 == 0:
        raise ValueError("a third fails")
    trial.report(loss=sum(int(choice.value) for choice in trial.architecture.values()))


def test_an_earlier_run_is_read_from_its_folder_and_its_failures_are_left_out(tmp_path: Path) -> None:
    first = raynas.search(SPACE, evaluate, metric="loss", mode="min", num_trials=9, storage_path=tmp_path, name="first")
    known = read_known(tmp_path / "first", SPACE, Objective("loss", "min"))
    assert [entry["parameter"] for entry in known] == [
        record.architecture for record in first.records.values() if record.state == "completed"
    ]
    told: list[Any] = []

    class Told(raynas.Searcher):
        def import_data(self, data: Any) -> None:
            told.extend(data)

        def generate_parameters(self, parameter_id: int) -> raynas.Architecture:
            return self.space.unrank(parameter_id)

    raynas.search(SPACE, evaluate, searcher=Told(), metric="loss", mode="min", num_trials=3, import_data=tmp_path / "first")
    assert [entry["value"] for entry in told] == [-entry["metrics"]["loss"] for entry in known]


@pytest.mark.parametrize("name", ["regularized_evolution", "local_search", "spos_evolution", "gaussian_process"])
def test_the_stock_searchers_begin_where_the_earlier_run_ended(name: str) -> None:
    best = SPACE.unrank(SPACE.size - 1)
    known = [{"parameter": SPACE.unrank(number), "value": 0.0} for number in range(0, 60, 3)]
    known.append({"parameter": best.to_dict(), "value": 8.0})
    options = {"population_size": 10} if "evolution" in name else {}
    if name == "spos_evolution":
        options |= {"num_parents": 1}

    def constant(trial: raynas.Trial) -> None:
        trial.report(accuracy=0.0)

    result = raynas.search(SPACE, constant, searcher=name, searcher_options=options, num_trials=20, import_data=known)
    near = [sum(record.architecture.indices[key] != best.indices[key] for key in best) for record in result.records.values()]
    assert near.count(1) >= 2  # neighbours of what was imported as the best


@pytest.mark.parametrize(
    ("entries", "error", "named"),
    [
        ([{"parameter": {"k0": 1}, "value": 1}], ArchitectureError, "entry 0"),
        ([{"parameter": FIRST, "value": math.nan}], OptionError, "entry 0.*nan"),
        ([{"parameter": FIRST, "value": "good"}], OptionError, "good"),
        ([{"parameter": FIRST, "value": 10**400}], OptionError, "expected numbers"),
        ([{"parameter": FIRST, "metrics": {"loss": 1.0}}], OptionError, "entry 0.*'accuracy'"),
        ([{"parameter": FIRST}], OptionError, "expected"),
        ([7], OptionError, "expected"),
    ],
)
def test_what_is_no_result_is_refused(entries: list[Any], error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        read_known(entries, SPACE, Objective("accuracy", "max"))


def test_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError):
        read_known(tmp_path / "nowhere", SPACE, Objective("loss", "min"))
    with pytest.raises(RunDamagedError, match="no journal"):
        read_known(tmp_path, SPACE, Objective("loss", "min"))
    raynas.search(OTHER, lambda trial: trial.report(loss=1), metric="loss", num_trials=1, storage_path=tmp_path, name="other")
    with pytest.raises(ArchitectureError, match="entry 0"):
        read_known(tmp_path / "other", SPACE, Objective("loss", "max"))
