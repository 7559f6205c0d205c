"""What a FLOPs limit costs: milliseconds for the profile of one architecture that was not asked for before.

An evolution with a limit asks thousands of times. Each figure is the median over random architectures of one space.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.remove(str(Path(__file__).resolve().parent))  # this file has the name of a module that torch imports

import argparse
import json
import statistics
import time
from random import Random

import torch

import raynas
from raynas.nn import Profiler, freeze

DEMO = Path(__file__).resolve().parent.parent / "examples" / "digits.py"


def measure(model: torch.nn.Module, sample_input: torch.Tensor, num_architectures: int) -> dict[str, float]:
    """Medians in milliseconds: a profile, one with activation memory, and for comparison a forward pass with numbers."""
    rng = Random(0)
    costs, memory = Profiler(model, sample_input), Profiler(model, sample_input, activations=True)
    figures: dict[str, list[float]] = {"profile": [], "with_activations": [], "freeze_and_forward": []}
    for _ in range(num_architectures):
        architecture = costs.space.sample(rng)
        start = time.perf_counter()
        costs.profile(architecture)
        figures["profile"].append(time.perf_counter() - start)
        start = time.perf_counter()
        memory.profile(architecture)
        figures["with_activations"].append(time.perf_counter() - start)
        start = time.perf_counter()
        with torch.no_grad():
            freeze(model, architecture).eval()(sample_input)
        figures["freeze_and_forward"].append(time.perf_counter() - start)
    return {name: round(1e3 * statistics.median(seconds), 2) for name, seconds in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    num_architectures = 20 if parser.parse_args().quick else 200
    torch.set_num_threads(1)
    task, _ = raynas.load_task_file(DEMO)
    figures = {"digits_ms": measure(task.model(), task.sample_input(), num_architectures)}
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
