"""Reading a run folder: what may be missing, and what is damaged."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raynas.errors import RunDamagedError, RunNotFoundError
from raynas.explore import Journal, Objective, SearchLimits, SearchSession, TrialRecord, make_searcher
from raynas.report.front import find_front
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


SEVERAL = {"metric": ["accuracy", "flops"], "mode": ["max", "min"]}


@pytest.mark.parametrize("as_list", [False, True])
def test_a_front_is_read_and_has_no_best(make_run: MakeRun, records: list[TrialRecord], as_list: bool) -> None:
    folder = make_run(records, result=SEVERAL | {"best_architecture": records[0].architecture.to_dict()})
    front = records[:3]
    entries = [{"architecture": each.architecture.to_dict(), "metrics": each.metrics, "trial_id": each.id} for each in front]
    (folder / "best.json").write_text(json.dumps(entries if as_list else {"front": entries}))
    run = read_run(folder)
    assert (run.metric, run.mode, run.best) == ("accuracy", "max", None)
    assert run.objective is not None
    assert run.objective.to_dict() == SEVERAL
    assert [(each.trial_id, each.architecture, each.metrics) for each in run.front] == [
        (each.id, each.architecture, each.metrics) for each in front
    ]


def test_without_a_file_the_front_is_that_of_the_trials(make_run: MakeRun, records: list[TrialRecord]) -> None:
    run = read_run(make_run(records, result=SEVERAL, best=False))
    assert run.objective is not None
    assert run.front == find_front(run.trials, run.objective, run.space) != ()


@pytest.mark.parametrize("result", [{"metric": "loss", "mode": "min"}, {"metric": ["loss"], "mode": ["min"]}, {}])
def test_a_single_objective_has_no_front(make_run: MakeRun, records: list[TrialRecord], result: dict[str, object]) -> None:
    run = read_run(make_run(records, result=result))
    assert (run.objective, run.front, run.best) == (None, (), records[0].architecture)


def test_while_a_search_runs_the_journal_says_what_it_is_for(make_run: MakeRun, records: list[TrialRecord]) -> None:
    folder = make_run(records, best=False)
    journal, objective = Journal(folder / "journal"), Objective(("loss", "flops"), ("min", "min"))
    SearchSession(make_searcher("nsga2", {}), read_run(folder).space, objective, limits=SearchLimits(1), journal=journal)
    run = read_run(folder)
    assert run.objective is not None
    assert run.objective.to_dict() == {"metric": ["loss", "flops"], "mode": ["min", "min"]}
    assert (run.metric, run.mode) == ("loss", "min")
    (folder / "result.json").write_text(json.dumps(SEVERAL))
    assert read_run(folder).metric == "accuracy"
    journal.close()


@pytest.mark.parametrize("line", [b"", b'{"event": "ope', b"[]\n", b'{"event":"opened"}\n', b'{"objective":3}\n'])
def test_a_journal_that_says_nothing_yet_is_no_damage(make_run: MakeRun, records: list[TrialRecord], line: bytes) -> None:
    folder = make_run(records, best=False)
    (folder / "journal").mkdir()
    (folder / "journal" / "000001.open.jsonl").write_bytes(line)
    assert read_run(folder).metric == "accuracy"


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


@pytest.mark.parametrize(
    "result",
    [
        {"mode": "best"},
        {"metric": 3},
        {"metric": []},
        {"metric": ["accuracy", "flops"], "mode": ["max"]},
        {"metric": ["accuracy", "flops"], "mode": "max"},
        {"metric": ["accuracy", "accuracy"], "mode": ["max", "max"]},
        {"metric": ["accuracy", 3], "mode": ["max", "max"]},
        {"best_architecture": {"no": "key"}},
    ],
)
def test_a_result_that_does_not_fit_is_damage(make_run: MakeRun, records: list[TrialRecord], result: dict[str, object]) -> None:
    with pytest.raises(RunDamagedError, match=r"result\.json"):
        read_run(make_run(records, result=result, best=False))


@pytest.mark.parametrize("entry", [3, {}, {"architecture": {}, "metrics": {}, "trial_id": 0}, {"trial_id": 0}])
def test_a_front_of_something_else_is_damage(make_run: MakeRun, records: list[TrialRecord], entry: object) -> None:
    folder = make_run(records, result=SEVERAL)
    (folder / "best.json").write_text(json.dumps({"front": [entry]}))
    with pytest.raises(RunDamagedError, match=r"best\.json"):
        read_run(folder)


def test_trials_without_their_columns_are_damage(make_run: MakeRun, records: list[TrialRecord]) -> None:
    folder = make_run(records)
    table = pq.read_table(folder / "trials.parquet", partitioning=None)
    pq.write_table(table.drop_columns(["digest"]), folder / "trials.parquet")
    with pytest.raises(RunDamagedError, match="digest"):
        read_run(folder)
    pq.write_table(table.append_column("f1", pa.array(["high"] * table.num_rows)), folder / "trials.parquet")
    with pytest.raises(RunDamagedError, match=r"'f1'.*expected numbers"):
        read_run(folder)


def test_the_journal_is_the_truth_and_a_damaged_one_leaves_the_table(make_run: MakeRun, records: list[TrialRecord]) -> None:
    folder = make_run(records[:2])
    space = records[0].architecture.space
    journal = Journal(folder / "journal")
    session = SearchSession(
        make_searcher("random", {}), space, Objective("accuracy", "max"), limits=SearchLimits(5), journal=journal
    )
    while (record := session.ask()) is not None:
        session.tell(record.id, {"accuracy": 0.5})
    journal.close()
    assert read_run(folder).trials.num_rows == session.num_spent > 2
    (folder / "trials.parquet").unlink()
    assert read_run(folder).trials.num_rows == session.num_spent
    (folder / "journal" / "000001.open.jsonl").write_text("no journal\n{}\n")
    with pytest.raises(RunNotFoundError):
        read_run(folder)
