"""Does the supernet rank? Kendall's tau between inherited and stand-alone accuracy, with the demo's settings and seed.

Stand-alone means: trained from scratch with the demo's retrain_epochs; both accuracies are on the validation data. The
architectures are drawn uniformly within the demo's limit on FLOPs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import torch
from scipy.stats import kendalltau

import raynas
from raynas.explore import run_trial

DEMO = Path(__file__).resolve().parent.parent / "examples" / "digits.py"


def measure(num_architectures: int, *, num_workers: int, supernet_epochs: int | None) -> dict[str, float]:
    """Train the demo's supernet, then score the same architectures both ways."""
    task, plan = raynas.load_task_file(DEMO)
    constraint = raynas.within(task, flops=plan.max_flops)
    space = raynas.generate_search_space(task.model())
    rng, architectures = Random(plan.seed + 1), list[raynas.Architecture]()
    while len(architectures) < num_architectures:
        drawn = space.sample(rng)
        if constraint(drawn):
            architectures.append(drawn)
    epochs = supernet_epochs or plan.supernet_epochs
    with tempfile.TemporaryDirectory() as folder:
        supernet = raynas.train_supernet(
            task, method=plan.method, num_workers=num_workers, epochs=epochs, seed=plan.seed, storage_path=folder, name="net"
        )
        inherited = raynas.inherited(task, registry="net")
        inherited.setup()
        start = time.perf_counter()
        shared = [accuracy(inherited.evaluate, architecture) for architecture in architectures]
        seconds_inherited = time.perf_counter() - start
        alone_evaluate = raynas.from_scratch(task, epochs=plan.retrain_epochs, seed=plan.seed)
        alone = [accuracy(alone_evaluate.evaluate, architecture) for architecture in architectures]
    return {
        "tau": round(float(kendalltau(shared, alone).statistic), 3),
        "num_architectures": num_architectures,
        "supernet_epochs": epochs,
        "num_workers": num_workers,
        "inherited_mean": round(sum(shared) / len(shared), 4),
        "alone_mean": round(sum(alone) / len(alone), 4),
        "seconds_supernet": round(supernet.seconds, 1),
        "seconds_per_inherited": round(seconds_inherited / num_architectures, 4),
    }


def accuracy(evaluate: object, architecture: raynas.Architecture) -> float:
    """One evaluation in this process."""
    with tempfile.TemporaryDirectory() as folder:
        trial = raynas.Trial(0, architecture, checkpoints=Path(folder))
        outcome = run_trial(evaluate, trial, ("accuracy",))  # type: ignore[arg-type]
    if outcome.error is not None:
        raise RuntimeError(outcome.error)
    return outcome.metrics["accuracy"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute: 10 architectures, one process, half the epochs")
    parser.add_argument("--architectures", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.quick:
        figures = measure(10, num_workers=0, supernet_epochs=80)
    else:
        figures = measure(options.architectures, num_workers=2, supernet_epochs=None)
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
