"""Runs as a search leaves them: a space with every kind of key, trials drawn from it, and the files of the folder."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raynas.explore import TrialRecord, write_trials
from raynas.explore.history import COMPLETED, FAILED, REUSED
from raynas.space import SearchSpace

EVIL_KEY, EVIL_CANDIDATE = "<script>alert(1)</script>", "a$b$"


def make_space() -> SearchSpace:
    layers = {f"layer{i}": {"_type": "layer_choice", "_value": ["skip", "conv3x3", "conv5x5"]} for i in range(4)}
    return SearchSpace(
        {
            **layers,
            "inputs": {"_type": "input_choice", "_value": {"candidates": ["stem", "layer0", "layer2"], "n_chosen": 2}},
            "any": {"_type": "input_choice", "_value": {"candidates": ["x", "y"], "n_chosen": None}},
            "width": {"_type": "choice", "_value": list(range(8, 8 * 21, 8))},
            "inner": {"_type": "layer_choice", "_value": ["a", "b"], "_when": {"layer0": [2]}},
            EVIL_KEY: {"_type": "layer_choice", "_value": [EVIL_CANDIDATE, "<b>bold</b>", "&amp;", "层"]},
        }
    )


def make_records(space: SearchSpace, num_trials: int = 60) -> list[TrialRecord]:
    rng = random.Random(0)
    records = []
    for number in range(num_trials):
        record = TrialRecord(number, space.sample(rng), start=1e9 + number, end=1e9 + number + 1, node="node-a")
        if number % 10 == 3:
            record.state, record.error = FAILED, f"ValueError: <img src=x> {number % 20}\ntraceback {number}"
        else:
            record.state = REUSED if number % 10 == 7 else COMPLETED
            record.metrics = {"accuracy": 0.9 + rng.random() / 20, "loss": rng.random(), "flops": 1e6 + 2e6 * rng.random()}
        records.append(record)
    return records


def write_training(folder: Path, space: SearchSpace, *, num_rows: int = 60, learns: bool = True) -> Path:
    """Figures as a supernet's training leaves them; with ``learns`` the first candidate of each key becomes the likeliest."""
    rows: list[dict[str, Any]] = []
    for number in range(1, num_rows + 1):
        row: dict[str, Any] = {"step": 20 * number, "loss": 2 / number, "learning_rate": 0.1}
        for key, domain in space.items() if learns else ():
            weights = [math.exp(number / 20 * (index == 0)) for index in range(len(domain.labels))]
            for label, weight in zip(domain.labels, weights, strict=True):
                row[f"alpha/{key}/{label}"] = weight / sum(weights)
        rows.append({**row, "entropy": 1 / number} if learns else row)
        if number % 10 == 0:
            rows.append({"step": 20 * number, "valid_accuracy": number / num_rows, "valid_loss": 1 / number})
    path = folder / "supernet.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def space() -> SearchSpace:
    return make_space()


@pytest.fixture
def records(space: SearchSpace) -> list[TrialRecord]:
    return make_records(space)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    def make(records: list[TrialRecord], *, result: dict[str, Any] | None = None, best: bool = True) -> Path:
        folder = tmp_path / "digits-001"
        folder.mkdir()
        space = records[0].architecture.space
        space.save(folder / "search_space.json")
        write_trials(records, folder / "trials.parquet")
        if best:
            records[0].architecture.save(folder / "best.json")
        if result is not None:
            (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
        return folder

    return make
