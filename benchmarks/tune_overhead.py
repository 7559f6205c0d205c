"""What the runner costs through Ray Tune: trials a second that do nothing, beside a plain Tune run, and memory a trial."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from ray import tune

import raynas
from raynas.explore import SearchSession
from raynas.runtime import connect, disconnect

SPACE = raynas.SearchSpace({f"layer{i}": {"_type": "layer_choice", "_value": ["a", "b", "c"]} for i in range(20)})


def evaluate(trial: raynas.Trial) -> None:
    trial.report(accuracy=int(trial.architecture.digest[:8], 16) / 2**32)  # no two alike, so that no proposal is a repeat


def plain(config: dict[str, Any]) -> dict[str, float]:
    """The same for Tune alone: a function, one actor reused for each slot."""
    return {"accuracy": sum(config.values()) / 40}


class Memory:
    """The resident memory of this process at each thousandth trial of a search."""

    def __init__(self) -> None:
        self.megabytes: list[float] = []

    def __call__(self, session: SearchSession) -> None:
        if session.num_spent >= 1_000 * len(self.megabytes):
            self.megabytes.append(resident_bytes() / 1e6)

    def grown(self) -> list[float]:
        """Megabytes that each thousand trials added."""
        return [round(after - before, 1) for before, after in pairwise(self.megabytes)]


def raynas_rate(num_trials: int, memory: Memory | None = None) -> float:
    """Trials a second of one search through Tune."""
    with tempfile.TemporaryDirectory() as folder:
        result = raynas.search(
            SPACE, evaluate, num_trials=num_trials, engine="tune", storage_path=folder, progress=False, on_event=memory
        )
    assert result.num_spent == num_trials
    return num_trials / result.seconds


def plain_rate(num_trials: int) -> float:
    """Trials a second of Tune with a function and reused actors."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            plain,
            param_space={key: tune.choice([0, 1, 2]) for key in SPACE},
            tune_config=tune.TuneConfig(num_samples=num_trials, reuse_actors=True, max_concurrent_trials=2),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        tuner.fit()
    return num_trials / (time.perf_counter() - start)


def resident_bytes() -> int:
    """Of this process, now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--num-trials", type=int, default=2_000, help="of the measured search")
    options = parser.parse_args()
    num_trials = 150 if options.quick else options.num_trials
    connect()
    start = time.perf_counter()
    raynas_rate(4)  # the first run pays for starting the workers
    figures: dict[str, Any] = {"first_run_s": time.perf_counter() - start}
    raynas_rate(min(num_trials, 300))  # what grows once
    before, memory = resident_bytes(), Memory()
    figures["raynas_per_s"] = raynas_rate(num_trials, memory)
    figures["driver_mb_per_1000_trials"] = (resident_bytes() - before) / 1e6 / num_trials * 1_000
    figures["plain_tune_per_s"] = plain_rate(min(num_trials, 150))
    figures["ratio"] = figures["raynas_per_s"] / figures["plain_tune_per_s"]
    disconnect()
    rounded = {name: round(value, 1) for name, value in figures.items()}
    sys.stdout.write(json.dumps({"num_trials": num_trials} | rounded | {"driver_mb_each_1000": memory.grown()}) + "\n")


if __name__ == "__main__":
    main()
