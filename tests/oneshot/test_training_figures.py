"""Figures of a training in the run folder: lines, events, and whoever else is told."""

import json
from pathlib import Path

from raynas.oneshot import TrainingFigures


def test_lines_and_events_are_written_and_others_told(tmp_path: Path) -> None:
    told: list[tuple[int, int, dict[str, float]]] = []
    with TrainingFigures(tmp_path, "supernet", lambda *row: told.append(row)) as figures:
        figures.begin(0)
        for step in (1, 2, 3):
            figures(step, 3, {"loss": 1 / step})
    lines = [json.loads(line) for line in (tmp_path / "supernet.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [row[0] for row in told] == [1, 2, 3]
    assert list((tmp_path / "tensorboard" / "supernet").glob("events.*"))


def test_what_comes_again_after_a_new_start_is_there_once(tmp_path: Path) -> None:
    with TrainingFigures(tmp_path, "supernet") as figures:
        figures.begin(0)
        for step in (1, 2, 3):
            figures(step, 4, {"loss": 1.0})
        figures.begin(1)  # workers go on from a checkpoint of step 1
        for step in (2, 3, 4):
            figures(step, 4, {"loss": 0.5})
    lines = [json.loads(line) for line in (tmp_path / "supernet.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 1.0), (2, 0.5), (3, 0.5), (4, 0.5)]
