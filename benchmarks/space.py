"""What a search space costs, on 100 keys of 10 candidates: microseconds for each architecture, best of several repeats.

``validate`` reads a plain dict as in JSON, ``digest`` is computed anew each time. Beside them a space of 100 keys half of
which are active under a condition, and the seconds that a space of 100,000 keys takes from JSON to its size.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any

from raynas import SearchSpace

LAYERS = [f"operator{i}" for i in range(10)]
FLAT = {f"layer{i}": {"_type": "layer_choice", "_value": LAYERS} for i in range(100)}
NESTED = {f"layer{i}": {"_type": "layer_choice", "_value": LAYERS} for i in range(50)} | {
    f"width{i}": {"_type": "choice", "_value": list(range(10)), "_when": {f"layer{i}": [0, 1, 2, 3, 4]}} for i in range(50)
}
LARGE = {f"layer{i}": {"_type": "layer_choice", "_value": ["a", "b", "c"]} for i in range(100_000)}


def microseconds(work: Callable[[], object], *, num_repeats: int, num_calls: int = 100) -> float:
    """Of one call, in the best of the repeats: what disturbs a repeat only ever makes it slower."""
    best = float("inf")
    for _ in range(num_repeats):
        start = time.perf_counter()
        for _ in range(num_calls):
            work()
        best = min(best, (time.perf_counter() - start) / num_calls)
    return round(best * 1e6, 1)


def measure(document: dict[str, Any], num_repeats: int) -> dict[str, float]:
    """The cost of everything that is done with one architecture."""
    space, rng = SearchSpace(document), Random(0)
    architecture = space.sample(rng)
    plain, indices, other = architecture.to_dict(), dict(architecture.indices), space.sample(rng)
    works: dict[str, Callable[[], object]] = {
        "sample": lambda: space.sample(rng),
        "validate": lambda: space.validate(plain),
        "digest": lambda: type(architecture).trusted(space, indices).digest,
        "mutate": lambda: space.mutate(architecture, rng),
        "crossover": lambda: space.crossover(architecture, other, rng),
        "encode": lambda: space.encode(architecture),
        "to_dict": architecture.to_dict,
        "neighbour": lambda: next(space.neighbours(architecture)),
    }
    return {name: microseconds(work, num_repeats=num_repeats) for name, work in works.items()}


def seconds_to_read(document: dict[str, Any], num_repeats: int) -> float:
    """From JSON text to the number of architectures."""
    text, best = json.dumps(document), float("inf")
    for _ in range(num_repeats):
        start = time.perf_counter()
        assert SearchSpace.from_json(text).size > 1
        best = min(best, time.perf_counter() - start)
    return round(best, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under ten seconds")
    num_repeats = 10 if parser.parse_args().quick else 100
    figures = {f"{name}_us": value for name, value in measure(FLAT, num_repeats).items()}
    figures |= {f"conditional_{name}_us": value for name, value in measure(NESTED, num_repeats).items()}
    figures["read_100k_keys_s"] = seconds_to_read(LARGE, 2 if num_repeats == 10 else 5)
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
