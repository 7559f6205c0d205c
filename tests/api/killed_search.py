"""The search that ``test_resume`` kills: a script of little to import, since each of its lives does. Load it by its path."""

import sys
import time
from pathlib import Path

import raynas

NUM_TRIALS = 60
SPACE = raynas.SearchSpace({f"k{i}": {"_type": "choice", "_value": [0, 1, 2]} for i in range(6)})


def search(engine: str, storage: str | None = None, seconds: str = "0", cpus: str = "1") -> raynas.SearchResult:
    """One life of the search: each evaluation takes so many seconds, and leaves a line in the storage."""

    def evaluate(trial: raynas.Trial) -> None:
        time.sleep(float(seconds))
        trial.report(accuracy=int(trial.architecture.digest[:8], 16) / 2**32)
        if storage is not None:
            with Path(storage, "evaluated").open("a") as file:
                file.write(f"{trial.id}\n")

    return raynas.search(
        SPACE,
        evaluate,
        searcher="regularized_evolution",
        searcher_options={"population_size": 10, "sample_size": 3},
        num_trials=NUM_TRIALS,
        max_concurrent=1,
        resources_per_trial={"cpu": float(cpus)},
        engine=engine,
        storage_path=storage,
        resume=True,
    )


if __name__ == "__main__":
    search(*sys.argv[1:])
