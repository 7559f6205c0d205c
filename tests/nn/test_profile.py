"""``profile`` against the frozen model, run for real."""

from collections.abc import Callable
from random import Random
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ArchitectureError
from raynas.nn import InputChoice, LayerChoice, Profile, Profiler, freeze, profile

RunForReal = Callable[..., Profile]


def test_parameters_and_flops_are_those_of_the_frozen_model(example: ModuleType, run_for_real: RunForReal) -> None:
    supernet, x = example.Net(), torch.randn(2, 1, 8, 8)
    profiler = Profiler(supernet, x, activations=True)
    rng = Random(0)
    found = set()
    for _ in range(50):
        architecture = profiler.space.sample(rng)
        cost = profiler.profile(architecture)
        assert cost == run_for_real(freeze(supernet, architecture), x)
        found.add(cost)
    assert len(found) > 10  # they do differ


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice([nn.Linear(4, 4), nn.Linear(4, 4, bias=False)], key="op")
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.op.candidates[1].weight

    def forward(self, x: Tensor, times: int) -> Tensor:
        for _ in range(times):
            x = self.tied(self.op(x))
        return x


@pytest.mark.parametrize("index", [0, 1])
def test_several_arguments_and_tied_weights(index: int, run_for_real: RunForReal) -> None:
    net, x, architecture = TwoInputs(), torch.ones(3, 4), {"op": {"_idx": index}}
    cost = profile(net, architecture, (x, 2))
    assert cost == run_for_real(freeze(net, architecture), x, 2)
    assert (cost.params, cost.flops) == ([16 + 4 + 16 + 4, 16 + 4][index], 2 * 2 * (2 * 3 * 4 * 4))


@pytest.mark.parametrize("inputs", [[torch.ones(3, 4), torch.ones(3, 4)], {"0": torch.ones(3, 4), "1": torch.ones(3, 4)}])
def test_tensors_may_lie_in_lists_and_mappings(inputs: Any, run_for_real: RunForReal) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pick, self.head = InputChoice(2, n_chosen=1, key="pick"), nn.Linear(4, 4)

        def forward(self, inputs: Any) -> Tensor:
            return self.head(self.pick(inputs))

    net, architecture = Net(), {"pick": {"_idx": [1]}}
    assert profile(net, architecture, inputs) == run_for_real(freeze(net, architecture), inputs)


def test_an_architecture_is_profiled_once() -> None:
    calls = []

    class Counted(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(x.device.type)
            return super().forward(x)

    profiler = Profiler(nn.Sequential(LayerChoice([Counted(4, 4), nn.Identity()], key="op")), torch.ones(1, 4))
    one, again = profiler.profile({"op": {"_value": "0"}}), profiler.profile({"op": {"_idx": 0}})
    assert one is again
    assert calls == ["meta"]
    assert profiler.profile({"op": {"_idx": 1}}) == Profile(0, 0)


def test_a_single_sample_is_enough_for_batch_norm() -> None:
    net = nn.Sequential(LayerChoice([nn.BatchNorm1d(4), nn.Identity()], key="op"))
    assert profile(net, {"op": {"_idx": 0}}, torch.ones(1, 4)) == Profile(8, 0, None)
    assert profile(net, {"op": {"_idx": 0}}, torch.ones(2, 4)).activation_bytes
    assert Profiler(net.train(), torch.ones(1, 4)).profile({"op": {"_idx": 0}}) == Profile(8, 0)


def test_the_model_is_left_as_it_is() -> None:
    net = TwoInputs()
    before = {name: (tensor.device.type, tensor.clone()) for name, tensor in net.state_dict().items()}
    profile(net, {"op": {"_idx": 0}}, (torch.ones(1, 4), 1))
    assert net.training
    assert net.tied.weight is net.op.candidates[1].weight
    for name, tensor in net.state_dict().items():
        assert tensor.device.type == before[name][0]
        assert torch.equal(tensor, before[name][1])


def test_an_architecture_of_another_space_is_refused() -> None:
    with pytest.raises(ArchitectureError, match="'op' is missing"):
        Profiler(TwoInputs(), (torch.ones(1, 4), 1)).profile({})
