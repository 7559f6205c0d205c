"""What the runner costs in process: trials a second that do nothing, with the journal and the tables on disk."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile

import raynas

SPACE = raynas.SearchSpace({f"layer{i}": {"_type": "layer_choice", "_value": ["a", "b", "c"]} for i in range(20)})


def evaluate(trial: raynas.Trial) -> None:
    trial.report(accuracy=int(trial.architecture.digest[:8], 16) / 2**32)  # no two alike, so that no proposal is a repeat


def rate(searcher: str, num_trials: int) -> float:
    """Trials per second of one search."""
    with tempfile.TemporaryDirectory() as folder:
        result = raynas.search(
            SPACE, evaluate, searcher=searcher, num_trials=num_trials, engine="local", storage_path=folder, progress=False
        )
    return result.num_spent / result.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    repeats = 3 if parser.parse_args().quick else 8
    figures = {
        "random_per_s": max(rate("random", 5_000) for _ in range(repeats)),
        "regularized_evolution_per_s": max(rate("regularized_evolution", 3_000) for _ in range(repeats)),
    }
    sys.stdout.write(json.dumps({name: round(value, 1) for name, value in figures.items()}) + "\n")


if __name__ == "__main__":
    main()
