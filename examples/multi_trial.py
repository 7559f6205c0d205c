"""Train each candidate as a trial of its own, without a supernet, and stop those that do badly early.

    python examples/multi_trial.py

With ``scheduler=None`` every candidate is trained to its last epoch. On GPUs, ``resources_per_trial={"gpu": 0.5}`` puts two
trials on each.
"""

import argparse
import sys
from pathlib import Path

from ray.tune.schedulers import ASHAScheduler

import raynas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--storage", default="runs")
    parser.add_argument("--name", default="multi-trial")
    parser.add_argument("--resume", action="store_true", help="go on with a run of that name")
    options = parser.parse_args()

    task, _ = raynas.load_task_file(Path(__file__).with_name("digits.py"))
    result = raynas.search(
        raynas.generate_search_space(task.model()),
        raynas.from_scratch(task, epochs=options.epochs),
        searcher="regularized_evolution",
        num_trials=options.num_trials,
        constraint=raynas.within(task, flops=350_000),
        scheduler=ASHAScheduler(grace_period=1, max_t=options.epochs, reduction_factor=3),
        max_failures_per_trial=1,
        storage_path=options.storage,
        name=options.name,
        resume=options.resume,
    )
    ends = [record.state for record in result.records.values()]
    summary = ", ".join(f"{ends.count(state)} {state}" for state in ("completed", "stopped", "failed", "reused"))
    sys.stdout.write(f"{summary}\nbest accuracy {result.best.value:.4f}: {result.best.architecture}\n")


if __name__ == "__main__":
    main()
