"""Trials as a table."""

from pathlib import Path

import pyarrow.parquet as pq

from raynas.explore import TrialRecord, trials_table, write_trials
from raynas.explore.history import COLUMNS, COMPLETED, FAILED, REUSED
from raynas.space import Architecture, SearchSpace


def _records(space: SearchSpace) -> list[TrialRecord]:
    return [
        TrialRecord(0, space.unrank(0), None, COMPLETED, {"accuracy": 0.5}, start=1.0, end=2.5, node="a"),
        TrialRecord(1, space.unrank(5), 3.0, FAILED, error="ValueError: ä\ntraceback"),
        TrialRecord(2, space.unrank(0), None, REUSED, {"accuracy": 0.5, "flops": 7.0}, attempt=2),
    ]


def test_a_row_a_trial_and_a_column_a_metric(space: SearchSpace) -> None:
    table = trials_table(_records(space))
    assert table.column_names == [*COLUMNS, "accuracy", "flops"]
    assert table["state"].to_pylist() == ["completed", "failed", "reused"]
    assert table["accuracy"].to_pylist() == [0.5, None, 0.5]
    assert table["flops"].to_pylist() == [None, None, 7.0]
    assert table["budget"].to_pylist() == [None, 3.0, None]
    assert table["attempt"].to_pylist() == [1, 1, 2]
    assert table["error"].to_pylist() == [None, "ValueError: ä\ntraceback", None]


def test_the_architecture_can_be_read_back(space: SearchSpace) -> None:
    for row in trials_table(_records(space)).to_pylist():
        assert Architecture.from_json(space, row["architecture"]).digest == row["digest"]


def test_no_trials_are_a_table_with_the_same_columns(space: SearchSpace) -> None:
    table = trials_table([])
    assert table.num_rows == 0
    assert table.schema == trials_table(_records(space)).select(COLUMNS).schema


def test_a_metric_named_like_a_column_gets_another_name(space: SearchSpace) -> None:
    table = trials_table([TrialRecord(4, space.unrank(0), metrics={"id": 0.25, "end": 2.0})])
    assert table.select(["id", "metric_id", "metric_end"]).to_pylist() == [{"id": 4, "metric_id": 0.25, "metric_end": 2.0}]


def test_the_file_is_replaced_as_a_whole(space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "trials.parquet"
    write_trials(_records(space)[:1], path)
    written = write_trials(_records(space), path)
    assert pq.read_table(path).equals(written)
    assert [left.name for left in tmp_path.iterdir()] == ["trials.parquet"]
