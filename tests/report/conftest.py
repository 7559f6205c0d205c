"""Runs as a search leaves them: a space with every kind of key, trials drawn from it, and the files of the folder."""

import json
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
