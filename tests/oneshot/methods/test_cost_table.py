"""``CostTable``: the expected cost is the mean over all architectures, each with its probability."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from raynas.nn import InputChoice, LayerChoice, Profiler
from raynas.oneshot import World
from raynas.oneshot.methods.cost_table import CostTable, make_cost_table
from raynas.space import Architecture, SearchSpace


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        inner = LayerChoice([nn.Linear(8, 4), nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 4))], key="inner")
        self.op = LayerChoice([nn.Linear(4, 4), nn.Identity(), nn.Sequential(nn.Linear(4, 8), inner)], key="op")
        self.head = LayerChoice([nn.Linear(4, 2), nn.Linear(4, 2, bias=False)], key="head")
        self.skip = InputChoice(n_candidates=2, n_chosen=1, key="skip")

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.skip([x, self.op(x)]))


PROBABILITIES = {
    "op": torch.tensor([0.2, 0.3, 0.5]),
    "inner": torch.tensor([0.6, 0.4]),
    "head": torch.tensor([0.1, 0.9]),
    "skip": torch.tensor([0.5, 0.5]),
}


@pytest.mark.parametrize("kind", ["flops", "params"])
def test_the_expected_cost_is_the_mean_over_all_architectures(kind: str) -> None:
    net, x = Net(), torch.zeros(1, 4)
    profiler = Profiler(net, x)
    mean = 0.0
    for architecture in profiler.space.enumerate():
        weight = math.prod(float(PROBABILITIES[key][indices[0]]) for key, indices in architecture.indices.items())
        mean += weight * getattr(profiler.profile(architecture), kind)
    table = make_cost_table(kind, net, x, World())  # type: ignore[arg-type]
    assert float(table.expected(PROBABILITIES)) == pytest.approx(mean, rel=1e-6)


def test_its_derivative_says_what_a_candidate_adds() -> None:
    table = make_cost_table("params", Net(), torch.zeros(1, 4), World())
    leaves = {key: value.clone().requires_grad_() for key, value in PROBABILITIES.items()}
    table.expected(leaves).backward()
    slope = leaves["head"].grad
    assert slope is not None
    assert float(slope[1] - slope[0]) == -2  # the bias
    inner = leaves["inner"].grad
    assert inner is not None
    assert float(inner[1] - inner[0]) == pytest.approx(0.5 * ((8 * 16 + 16 + 16 * 4 + 4) - (8 * 4 + 4)))  # if it is active


def test_of_several_inputs_each_counts_by_how_often_it_is_chosen() -> None:
    costs = [1.0, 20.0, 300.0, 4000.0]
    inputs = {"_type": "input_choice", "_value": {"candidates": ["a", "b", "c", "d"], "n_chosen": 2}}
    space = SearchSpace({"skip": inputs})

    def measure(architecture: Architecture) -> float:
        return 7 + sum(costs[index] for index in architecture.indices["skip"])

    table = CostTable(space, measure)
    pairs = list(itertools.combinations(range(4), 2))
    for chosen in pairs:
        whole = torch.tensor([0.5 if index in chosen else 0.0 for index in range(4)])
        assert float(table.expected({"skip": whole})) == pytest.approx(7 + costs[chosen[0]] + costs[chosen[1]])
    uniform = sum(7 + costs[a] + costs[b] for a, b in pairs) / len(pairs)
    assert float(table.expected({"skip": torch.full((4,), 0.25)})) == pytest.approx(uniform)


def test_inputs_that_are_all_chosen_add_nothing() -> None:
    inputs = {"_type": "input_choice", "_value": {"candidates": ["a", "b"], "n_chosen": 2}}
    table = CostTable(SearchSpace({"skip": inputs}), lambda _: 7.0)
    assert float(table.expected({"skip": torch.tensor([0.3, 0.7])})) == 7


def test_latency_is_measured_in_seconds() -> None:
    slow = nn.Sequential(*(nn.Linear(512, 512) for _ in range(8)))
    net = nn.Sequential(LayerChoice([nn.Identity(), slow], key="op"))
    table = make_cost_table("latency", net, torch.zeros(64, 512), World())
    expected = [float(table.expected({"op": torch.tensor(each)})) for each in ([1.0, 0.0], [0.0, 1.0])]
    assert 0 < expected[0] < expected[1] < 10
