"""Does the supernet rank? Kendall's tau between inherited and stand-alone accuracy, and where the methods' architectures stand.

An SPOS supernet is trained and scores random architectures with inherited weights; each of them is also trained from scratch,
which is its stand-alone accuracy. Both accuracies are on the validation data.

--space macro: NAS-Bench-Macro's space with a sixteenth of its channels, 8,000 images of MNIST for training and 2,000 for
validation. Every method that learns an architecture trains a supernet of its own, with its default options; what it exports is
trained from scratch like the random ones, and so is compared with them. Of spos that is the one that inherited weights score
best. A method that computes several candidates at a step is given fewer epochs, as they take longer.

--space digits: the demo's space, settings and seed, within the demo's limit on FLOPs; there only tau.

Seconds are those of the clock; cpu_seconds are those that this process computed. The last line is all figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file lies profile.py, which torch would import

import torch
from scipy.stats import kendalltau

import raynas
from benchmarks import mnist
from raynas.errors import OptionError
from raynas.oneshot import METHODS

DEMO = Path(__file__).resolve().parents[1] / "examples" / "digits.py"
EPOCHS = {"spos": 12, "darts": 3, "drnas": 3, "enas": 8, "gdas": 8, "proxyless": 6}  # of --space macro


@dataclass(frozen=True)
class Case:
    """What is trained, and for how long.

    Attributes:
        task: a model with its data.
        num_architectures: how many are drawn.
        epochs: of the supernet of each method; that of ``spos`` is inherited from.
        alone_epochs: of an architecture from scratch.
        seed: of weights and data order; the one after it draws the architectures.
        num_workers: of the supernets.
        max_flops: of the architectures drawn; ``None``: no limit.
    """

    task: raynas.Task
    num_architectures: int
    epochs: Mapping[str, int]
    alone_epochs: int
    seed: int = 0
    num_workers: int = 0
    max_flops: float | None = None


class Alone:
    """Accuracies from scratch; no architecture is trained twice."""

    def __init__(self, case: Case, seed: int) -> None:
        self.evaluate = raynas.from_scratch(case.task, epochs=case.alone_epochs, seed=seed)
        self.evaluate.setup()
        self.known: dict[str, float] = {}

    def __call__(self, architecture: raynas.Architecture) -> float:
        if architecture.digest not in self.known:
            self.known[architecture.digest] = accuracy(self.evaluate, architecture)
        return self.known[architecture.digest]


@dataclass
class Clock:
    """Says what is done, and how long each part took."""

    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._began, self._computed = time.perf_counter(), time.process_time()

    def stop(self, part: str) -> None:
        """The part that began with the last ``start`` or ``stop`` is done."""
        self.seconds[part] = round(time.perf_counter() - self._began, 1)
        self.cpu_seconds[part] = round(time.process_time() - self._computed, 1)
        sys.stdout.write(f"{part}: {self.seconds[part]} s, of which computed {self.cpu_seconds[part]}\n")
        sys.stdout.flush()
        self.start()


def digits_case(*, quick: bool) -> Case:
    """The demo's."""
    task, plan = raynas.load_task_file(DEMO)
    number, epochs, workers = (6, 80, 0) if quick else (30, plan.supernet_epochs, 2)
    return Case(
        task, number, {"spos": epochs}, plan.retrain_epochs, seed=plan.seed, num_workers=workers, max_flops=plan.max_flops
    )


def macro_case(folder: Path, *, quick: bool) -> Case:
    """NAS-Bench-Macro's space on MNIST."""
    if quick:
        return Case(mnist.make_task(*mnist.read_images(folder, 512, 256)), 6, dict.fromkeys(EPOCHS, 1), 1)
    return Case(mnist.make_task(*mnist.read_images(folder)), 30, EPOCHS, 2)


def measure(case: Case, *, twice: bool = False) -> dict[str, Any]:
    """Train the supernets, score the same architectures both ways, and compare with them what the methods export."""
    architectures, clock, alone = draw(case), Clock(), Alone(case, case.seed)
    with tempfile.TemporaryDirectory() as folder:
        registry = train(case, "spos", folder).registry
        clock.stop("spos")
        inherited = raynas.inherited(case.task, registry=registry)
        inherited.setup()
        shared = [accuracy(inherited, architecture) for architecture in architectures]
        clock.stop("inherited")
        learnt = [method for method in case.epochs if METHODS[method].learns_architecture]
        exported = {"spos": architectures[shared.index(max(shared))]} if learnt else {}
        for method in learnt:
            found = train(case, method, folder).architecture
            assert found is not None
            exported[method] = found
            clock.stop(method)
    single = [alone(architecture) for architecture in architectures]
    clock.stop("alone")
    figures: dict[str, Any] = {"tau": tau(shared, single), "num_architectures": len(architectures)}
    if exported:
        figures["exported"] = {method: standing(each, alone(each), single) for method, each in exported.items()}
        clock.stop("exported")
    if twice:
        again = Alone(case, case.seed + 1)
        figures["tau_alone"] = tau(single, [again(architecture) for architecture in architectures])
        clock.stop("alone again")
    spread = {"inherited": spread_of(shared), "alone": spread_of(single)}
    trained = {"epochs": dict(case.epochs), "alone_epochs": case.alone_epochs, "num_workers": case.num_workers}
    return {**figures, **spread, **trained, "seconds": clock.seconds, "cpu_seconds": clock.cpu_seconds}


def draw(case: Case) -> list[raynas.Architecture]:
    """Uniformly, within the limit."""
    space = raynas.generate_search_space(case.task.model())
    allowed = raynas.within(case.task, flops=case.max_flops) if case.max_flops is not None else lambda _: True
    rng, drawn = Random(case.seed + 1), list[raynas.Architecture]()
    while len(drawn) < case.num_architectures:
        architecture = space.sample(rng)
        if allowed(architecture):
            drawn.append(architecture)
    return drawn


def train(case: Case, method: str, folder: str) -> raynas.Supernet:
    return raynas.train_supernet(
        case.task,
        method=method,
        num_workers=case.num_workers,
        epochs=case.epochs[method],
        seed=case.seed,
        storage_path=folder,
        registry=f"{Path(folder).name}-{method}",
        name=method,
    )


def accuracy(evaluate: Any, architecture: raynas.Architecture) -> float:
    """One evaluation in this process."""
    trial = raynas.Trial(0, architecture)
    evaluate.evaluate(trial)
    return trial.metrics["accuracy"]


def tau(ones: Sequence[float], others: Sequence[float]) -> float | None:
    """Kendall's tau-b, which allows for ties; ``None`` where all are tied."""
    found = float(kendalltau(ones, others).statistic)
    return round(found, 3) if math.isfinite(found) else None


def standing(architecture: raynas.Architecture, own: float, others: Sequence[float]) -> dict[str, Any]:
    """The index of each choice, the stand-alone accuracy, and how many of the others have a smaller one."""
    choices = "".join(str(index) for indices in architecture.indices.values() for index in indices)
    return {"architecture": choices, "alone": round(own, 4), "better_than": sum(other < own for other in others)}


def spread_of(values: Sequence[float]) -> dict[str, float]:
    return {"mean": round(sum(values) / len(values), 4), "min": round(min(values), 4), "max": round(max(values), 4)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", choices=("macro", "digits"), default="macro", help="what is ranked (macro)")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="of MNIST; RAYNAS_DATA, or else ../shared/data")
    parser.add_argument("--quick", action="store_true", help="under a minute: shows that it runs; the figures mean little")
    parser.add_argument("--architectures", type=int, metavar="N", help="how many are drawn (30)")
    parser.add_argument(
        "--twice", action="store_true", help="train them from scratch with another seed too: tau between the two trainings"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        folder = mnist.data_folder(options.data)
        case = digits_case(quick=options.quick) if options.space == "digits" else macro_case(folder, quick=options.quick)
    except OptionError as error:
        parser.error(str(error))
    case = replace(case, num_architectures=options.architectures or case.num_architectures)
    figures = measure(case, twice=options.twice)
    sys.stdout.write(json.dumps({"space": options.space, **figures}) + "\n")


if __name__ == "__main__":
    main()
