"""Reading a run folder: what may be missing, and what is damaged."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raynas.errors import RunDamagedError, RunNotFoundError
from raynas.explore import TrialRecord
from raynas.report.run_files import read_run

MakeRun = Callable[..., Path]


def test_everything_is_read(make_run: MakeRun, records: list[TrialRecord]) -> None:
    run = read_run(make_run(records, result={"metric": "loss", "mode": "min"}))
    assert (run.metric, run.mode, run.missing) == ("loss", "min", ())
    assert run.best == records[0].architecture
    assert run.trials.num_rows == len(records)


def test_metric_and_mode_are_guessed_where_nothing_says_them(make_run: MakeRun, records: list[TrialRecord]) -> None:
    for record in records:
        record.metrics.pop("accuracy", None)
    run = read_run(make_run(records, best=False))
    assert (run.metric, run.mode, run.best) == ("loss", "min", None)
    assert run.missing == ("best.json", "result.json")


def test_of_several_objectives_the_first_counts_and_a_front_has_no_best(make_run: MakeRun, records: list[TrialRecord]) -> None:
    folder = make_run(records, result={"metric": ["accuracy", "flops"], "mode": ["max", "min"]})
    (folder / "best.json").write_text("[]")
    run = read_run(folder)
    assert (run.metric, run.mode, run.best) == ("accuracy", "max", None)


def test_the_best_of_the_result_stands_in(make_run: MakeRun, records: list[TrialRecord]) -> None:
    best = records[5].architecture
    assert read_run(make_run(records, result={"best_architecture": best.to_dict()}, best=False)).best == best


def test_a_size_of_thousands_of_digits_is_no_damage(make_run: MakeRun, records: list[TrialRecord]) -> None:
    folder = make_run(records)
    (folder / "result.json").write_text(f'{{"space_size": 1{"0" * 9000}}}')
    assert len(read_run(folder).result["space_size"]) == 9001


@pytest.mark.parametrize("name", ["search_space.json", "trials.parquet"])
def test_a_missing_file_is_named(make_run: MakeRun, records: list[TrialRecord], name: str) -> None:
    folder = make_run(records)
    (folder / name).unlink()
    with pytest.raises(RunNotFoundError, match=rf"{name}.*run `raynas search` first"):
        read_run(folder)


@pytest.mark.parametrize("name", ["search_space.json", "trials.parquet", "best.json", "result.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"3", b'{"a": 1}'])
def test_a_damaged_file_is_named(make_run: MakeRun, records: list[TrialRecord], name: str, content: bytes) -> None:
    folder = make_run(records, result={})
    (folder / name).write_bytes(content)
    if (name, content) == ("result.json", b'{"a": 1}'):
        assert read_run(folder).result == {"a": 1}
        return
    with pytest.raises(RunDamagedError, match=name):
        read_run(folder)


@pytest.mark.parametrize("result", [{"mode": "best"}, {"metric": 3}, {"metric": []}, {"best_architecture": {"no": "key"}}])
def test_a_result_that_does_not_fit_is_damage(make_run: MakeRun, records: list[TrialRecord], result: dict[str, object]) -> None:
    with pytest.raises(RunDamagedError, match=r"result\.json"):
        read_run(make_run(records, result=result, best=False))


def test_trials_without_their_columns_are_damage(make_run: MakeRun, records: list[TrialRecord]) -> None:
    folder = make_run(records)
    table = pq.read_table(folder / "trials.parquet", partitioning=None)
    pq.write_table(table.drop_columns(["digest"]), folder / "trials.parquet")
    with pytest.raises(RunDamagedError, match="digest"):
        read_run(folder)
    pq.write_table(table.append_column("f1", pa.array(["high"] * table.num_rows)), folder / "trials.parquet")
    with pytest.raises(RunDamagedError, match=r"'f1'.*expected numbers"):
        read_run(folder)
