"""Figures as lines: none twice, none lost when training goes on, and not without end."""

import itertools
import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from raynas.oneshot import figure_log
from raynas.oneshot.figure_log import MAX_ROWS, FigureLog


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, start: int, end: int, num_steps: int = 100) -> None:
    """A training that logs every 10 steps and validates every 25."""
    with FigureLog(path) as log:
        log.begin(start)
        for step in range(start + 1, end + 1):
            if step % 10 == 0:
                log(step, num_steps, {"loss": step / 3, "entropy": 1.0})
            if step % 25 == 0:
                log(step, num_steps, {"valid_loss": float(step)})


def test_figures_are_lines_with_their_step(tmp_path: Path) -> None:
    path = tmp_path / "supernet.jsonl"
    with FigureLog(path) as log:
        log.begin(0)
        log(10, 20, {"loss": 1 / 3, "alpha/层\u2028\ud800/a": math.nan})
        assert read(path) == [{"step": 10, "loss": 0.3333333, "alpha/层\u2028\ud800/a": None}]
        log(20, 20, {"loss": math.inf})
    assert read(path)[1:] == [{"step": 20, "loss": None}]


@pytest.mark.parametrize("cut", [0, 5, 10, 20, 25, 27, 50, 99])
@pytest.mark.parametrize("end", [5, 29, 30, 55, 100])
def test_where_training_goes_on_no_row_is_lost_and_none_comes_twice(tmp_path: Path, cut: int, end: int) -> None:
    whole, resumed = tmp_path / "whole.jsonl", tmp_path / "resumed.jsonl"
    write(whole, 0, 100)
    write(resumed, 0, max(cut, end))
    write(resumed, cut, 100)
    assert resumed.read_text() == whole.read_text()


def test_a_new_training_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 0, 40)
    write(path, 0, 20)
    assert [row["step"] for row in read(path)] == [10, 20]


def test_lines_that_were_cut_off_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"step": 10, "loss": 1}\n[]\n{"loss": 2}\n\xff\n{"step": "10"}\n{"step": 20, "loss": 2}\n{"step": 30, "lo'
    )
    write(path, 30, 40)
    assert [row["step"] for row in read(path)] == [10, 20, 40]


@pytest.mark.parametrize("every", [1, 20])
def test_a_long_training_leaves_rows_out_all_along(tmp_path: Path, every: int) -> None:
    path, num_steps = tmp_path / "a.jsonl", 40 * MAX_ROWS
    with FigureLog(path) as log:
        log.begin(0)
        for step in range(every, num_steps + 1, every):
            log(step, num_steps, {"loss": 1.0})
    steps = [row["step"] for row in read(path)]
    assert len(steps) == MAX_ROWS + 1  # the last one is written always
    assert steps[0] == every
    assert {after - before for before, after in itertools.pairwise(steps[:-1])} == {40}
    assert steps[-1] == num_steps


def test_an_old_process_writes_into_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with FigureLog(path) as old, FigureLog(path) as new:
        old.begin(0)
        old(1, 4, {"loss": 1.0})
        new.begin(1)
        old(2, 4, {"loss": 5.0})
        new(2, 4, {"loss": 2.0})
    assert [row["loss"] for row in read(path)] == [1.0, 2.0]


def test_what_cannot_be_written_is_said_once_and_does_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.WARNING, logger=figure_log.__name__), FigureLog(tmp_path / "no" / "a.jsonl") as log:
        log.begin(0)
        log(1, 4, {"loss": 1.0})
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"{tmp_path / 'no' / 'a.jsonl'} cannot be written"
    ]
    caplog.clear()
    with FigureLog(tmp_path / "a.jsonl") as log:
        log.begin(0)

        def fail(_: object) -> str:
            raise OSError("the disk is full")

        monkeypatch.setattr(figure_log, "_line", fail)
        for step in (1, 2):
            log(step, 4, {"loss": 1.0})
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'a.jsonl'} cannot be written: the disk is full; training goes on without it"
    ]
