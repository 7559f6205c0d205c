"""What deciding costs: resetting a mutator and running a model of 12 choices, against the same candidates called directly.

The direct side is the model as one would write it by hand for given indices: lists of modules, no mutables, no mutator.
Both sides share the modules, take the same architectures in the same order, alternate within one run, and use one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from raynas.mutators import RandomMutator
from raynas.nn import LayerChoice

CHOICES, CANDIDATES, WIDTH, BATCH = 12, 6, 256, 64
WANTED = 1.03


class Net(nn.Module):
    """Choices one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.choices = nn.ModuleList(LayerChoice([block() for _ in range(CANDIDATES)]) for _ in range(CHOICES))

    def forward(self, x: Tensor) -> Tensor:
        for choice in self.choices:
            x = choice(x)
        return x


class Direct(nn.Module):
    """The candidates of a ``Net``, told by index which to call."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.choices = nn.ModuleList(choice.candidates for choice in net.choices)  # type: ignore[misc]

    def forward(self, x: Tensor, indices: Sequence[int]) -> Tensor:
        candidates: Any
        for candidates, index in zip(self.choices, indices, strict=True):
            x = candidates[index](x)
        return x


def block() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU())


def measure(num_rounds: int, *, backward: bool) -> dict[str, float]:
    """The ratio of both sides and their milliseconds a step.

    A round takes two architectures. Mutator goes first on one and direct on the other, since whoever goes second finds the
    weights in the processor's cache. The ratio is the median over the rounds.
    """
    torch.manual_seed(0)
    net, x = Net(), torch.randn(BATCH, WIDTH)
    mutator, direct = RandomMutator(net, seed=0), Direct(net)
    ahead = RandomMutator(Net(), seed=0)  # draws the very same architectures, outside of what is timed

    def decided() -> Tensor:
        mutator.reset()
        return net(x)  # type: ignore[no-any-return]

    ratios, seconds = [], {"mutator": 0.0, "direct": 0.0}
    for number in range(-10, num_rounds):  # the first ten warm up
        spent = {"mutator": 0.0, "direct": 0.0}
        for order in (("mutator", "direct"), ("direct", "mutator")):
            called = partial(direct, x, [picked for (picked,) in ahead.sample_architecture().indices.values()])
            for side in order:
                spent[side] += timed(decided if side == "mutator" else called, backward=backward)
                if backward:
                    net.zero_grad()
        if number >= 0:
            ratios.append(spent["mutator"] / spent["direct"])
            seconds = {side: seconds[side] + spent[side] for side in seconds}
    per_step = {f"{side}_ms": 1e3 * total / (2 * num_rounds) for side, total in seconds.items()}
    return {"ratio": median(ratios), **per_step}


def timed(step: Callable[[], Tensor], *, backward: bool) -> float:
    """Seconds of one step."""
    start = time.perf_counter()
    output = step()
    if backward:
        torch.autograd.backward(output.sum())
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few seconds")
    num_rounds = 200 if parser.parse_args().quick else 1_500
    torch.set_num_threads(1)
    figures: dict[str, float] = {"wanted_ratio": WANTED}
    for kind, backward in (("forward", False), ("forward_backward", True)):
        for name, value in measure(num_rounds, backward=backward).items():
            figures[f"{kind}_{name}"] = round(value, 3)
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
