"""``CostTable``: what every candidate costs, so that the expected cost of an architecture has a derivative."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from raynas.nn import Profiler, generate_search_space, measure_latency
from raynas.oneshot.workers.world import World
from raynas.space import Architecture, Domain, Indices, SearchSpace

Cost = Literal["flops", "params", "latency"]
Measure = Callable[[Architecture], float]


class CostTable:
    """The cost of the architecture of all first candidates, and what each other candidate adds to it.

    Exact where the costs of candidates add up, as operations and parameters do; equations 5 and 6 of Cai et al.,
    "ProxylessNAS", ICLR 2019, for latency.

    Args:
        space: of layer choices and input choices.
        measure: the cost of an architecture.
    """

    def __init__(self, space: SearchSpace, measure: Measure) -> None:
        self._space = space
        self.base = measure(_first(space, {}))
        self.extra = {key: self._extra(domain, measure) for key, domain in space.items()}

    def expected(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        """The expected cost, a scalar with the gradient in the probabilities.

        Args:
            probabilities: of the candidates of each key, adding up to 1. What a key adds counts by how likely it is active.
        """
        total = torch.tensor(self.base, dtype=torch.float64)
        for key, domain in self._space.items():
            own = (probabilities[key].double() * self.extra[key]).sum() * (domain.n_chosen or 1)
            for parent, indices in domain.when.items():
                own = own * probabilities[parent][list(indices)].sum()
            total = total + own
        return total

    def _extra(self, domain: Domain, measure: Measure) -> Tensor:
        """What each candidate adds, relative to the one that is left out first: the last of the first ``n_chosen``."""
        number, n = domain.n_chosen or 1, len(domain.candidates)
        first, above = tuple(range(number)), {parent: (indices[0],) for parent, indices in domain.when.items()}
        extra = torch.zeros(n, dtype=torch.float64)
        if n == number:
            return extra  # nothing is ever left out
        base = measure(_first(self._space, {**above, domain.key: first}))
        for index in range(number, n):
            extra[index] = measure(_first(self._space, {**above, domain.key: (*first[:-1], index)})) - base
        for index in first[:-1]:
            without = tuple(each for each in (*first, number) if each != index)
            extra[index] = extra[number] - (measure(_first(self._space, {**above, domain.key: without})) - base)
        return extra - extra[list(first)].mean()  # so that the base has no part of it


def make_cost_table(kind: Cost, model: nn.Module, sample_input: Any, world: World) -> CostTable:
    """Measure every candidate of a model; latency on rank 0 alone, whose figures all workers take over.

    Args:
        kind: ``"flops"`` of one sample and ``"params"`` as ``Profile`` has them, ``"latency"`` in seconds on rank 0's device.
        model: a model with mutables.
        sample_input: a tensor, or a tuple of the arguments of ``forward``, with the batch dimension.
        world: the workers; all of them have to call this.
    """
    if kind != "latency":
        profiler = Profiler(model, sample_input)
        return CostTable(profiler.space, lambda architecture: float(getattr(profiler.profile(architecture), kind)))

    def seconds(architecture: Architecture) -> float:
        return measure_latency(model, architecture, sample_input, world.device).median if world.rank == 0 else math.nan

    table = CostTable(generate_search_space(model), seconds)
    flat = torch.cat([torch.tensor([table.base], dtype=torch.float64), *table.extra.values()]).to(world.device)
    world.broadcast([flat])
    base, *extra = torch.split(flat.cpu(), [1, *(len(each) for each in table.extra.values())])
    table.base, table.extra = float(base), dict(zip(table.extra, extra, strict=True))
    return table


def _first(space: SearchSpace, fixed: Mapping[str, Indices]) -> Architecture:
    """The architecture of the first candidates, but for what is fixed."""
    chosen: dict[str, Indices] = {}
    for key in sorted(space, key=lambda key: len(space[key].when)):
        if space.is_active(key, chosen):
            chosen[key] = fixed.get(key, tuple(range(space[key].n_chosen or 1)))
    return Architecture.from_indices(space, chosen)
