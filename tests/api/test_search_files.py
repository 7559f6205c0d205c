"""What a search leaves on disk, while it runs and at its end."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import raynas
from raynas.api import search_files
from raynas.report import write_report

SPACE = raynas.SearchSpace({f"k{i}": {"_type": "choice", "_value": [0, 1, 2]} for i in range(4)})


def evaluate(trial: raynas.Trial) -> None:
    if trial.id == 3:
        raise ValueError("three")
    trial.report(accuracy=sum(int(choice.value) for choice in trial.architecture.values()), cost=trial.id)


def test_the_figures_of_a_search_are_in_result_json(tmp_path: Path) -> None:
    result = raynas.search(SPACE, evaluate, num_trials=10, storage_path=tmp_path, searcher_options={"seed": 1})
    figures = json.loads((tmp_path / "search" / "result.json").read_text())
    assert figures["metric"], figures["mode"] == ("accuracy", "max")
    assert (figures["searcher"], figures["searcher_options"], figures["engine"]) == ("random", {"seed": 1}, result.engine)
    assert (figures["num_trials"], figures["num_completed"], figures["num_failed"], figures["space_size"]) == (10, 9, 1, 81)
    assert figures["best_value"] == result.best.value
    assert figures["best_architecture"] == result.best.architecture.to_dict()
    assert raynas.Architecture.load(SPACE, tmp_path / "search" / "best.json") == result.best.architecture


def test_the_front_of_several_objectives_is_kept_and_reported(tmp_path: Path) -> None:
    result = raynas.search(
        SPACE, evaluate, metric=["accuracy", "cost"], mode=["max", "min"], num_trials=12, storage_path=tmp_path
    )
    folder = tmp_path / "search"
    figures, best = (json.loads((folder / name).read_text()) for name in ("result.json", "best.json"))
    assert [entry["trial_id"] for entry in best["front"]] == [point.trial_id for point in result.pareto]
    assert [entry["architecture"] for entry in best["front"]] == [point.architecture.to_dict() for point in result.pareto]
    assert (figures["front_size"], figures["hypervolume"]) == (len(result.pareto), result.hypervolume)
    completed = [record.metrics for record in result.records.values() if record.state == "completed"]
    worst = [min(metrics["accuracy"] for metrics in completed), max(metrics["cost"] for metrics in completed)]
    assert figures["hypervolume_reference"] == worst
    assert "hypervolume" in write_report(folder).read_text()


def test_tables_and_report_can_be_read_while_the_search_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_files, "WRITE_EVERY", 0.0)
    monkeypatch.setattr(search_files, "MAX_SHARE", 1e9)
    seen = []

    def looking(trial: raynas.Trial) -> None:
        if trial.id in (6, 7):
            table = pq.read_table(tmp_path / "search" / "trials.parquet")
            seen.append((trial.id, table.num_rows, table.column("state").to_pylist().count("running")))
            assert write_report(tmp_path / "search").is_file()
        evaluate(trial)

    raynas.search(SPACE, looking, num_trials=9, storage_path=tmp_path)
    assert seen == [(6, 7, 1), (7, 8, 1)]
    assert pq.read_table(tmp_path / "search" / "trials.parquet").column("state").to_pylist().count("running") == 0
