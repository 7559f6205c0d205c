"""What the runner costs: trivial trials per second, in process and through Ray Tune, history on disk included."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time

import raynas
from raynas.runtime import connect, disconnect

SPACE = raynas.SearchSpace({f"layer{i}": {"_type": "layer_choice", "_value": ["a", "b", "c"]} for i in range(20)})


def evaluate(trial: raynas.Trial) -> None:
    trial.report(accuracy=int(trial.architecture.digest[:8], 16) / 2**32)  # no two alike, so that no proposal is a repeat


def rate(searcher: str, engine: str, num_trials: int, max_concurrent: int | None = None) -> float:
    """Trials per second of one search."""
    with tempfile.TemporaryDirectory() as folder:
        result = raynas.search(
            SPACE,
            evaluate,
            searcher=searcher,
            num_trials=num_trials,
            max_concurrent=max_concurrent,
            engine=engine,
            storage_path=folder,
        )
    return result.num_spent / result.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    num_trials = 150 if parser.parse_args().quick else 600
    figures = {
        "local_random_per_s": max(rate("random", "local", 5_000) for _ in range(3)),
        "local_evolution_per_s": max(rate("regularized_evolution", "local", 3_000) for _ in range(3)),
    }
    connect()
    start = time.perf_counter()
    rate("random", "tune", 4)  # the first run pays for starting the workers
    figures["tune_first_run_s"] = time.perf_counter() - start
    figures["tune_per_s"] = rate("random", "tune", num_trials)
    disconnect()
    sys.stdout.write(json.dumps({name: round(value, 1) for name, value in figures.items()}) + "\n")


if __name__ == "__main__":
    main()
