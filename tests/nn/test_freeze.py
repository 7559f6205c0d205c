"""``freeze``: what comes out computes the very same, and has nothing that was not chosen."""

import copy
from collections.abc import Callable
from random import Random
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ArchitectureError, ModelError
from raynas.mutators import RandomMutator
from raynas.nn import (
    BatchNorm1d,
    ChoiceMutable,
    Conv1d,
    Dropout,
    InputChoice,
    LayerChoice,
    Linear,
    MultiheadAttention,
    MutableScope,
    Repeat,
    ValueChoice,
    choice_places,
    freeze,
    generate_search_space,
    transplant,
)


class Cell(MutableScope):
    """Inputs by name with a mask, a list of outputs, an input choice that may pick nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.left = LayerChoice([nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))], key="shared")
        self.right = LayerChoice([nn.Linear(4, 4), nn.Identity()], key="shared")
        self.listed = LayerChoice({"a": nn.Linear(4, 4), "b": nn.Tanh(), "c": nn.Dropout()}, "none", return_mask=True)
        self.pick = InputChoice(choose_from=["l", "r", "x"], n_chosen=2, reduction="mean", return_mask=True)
        self.more = InputChoice(n_candidates=3)

    def forward(self, x: Tensor) -> Tensor:
        (listed,), layer_mask = self.listed(x)
        picked, mask = self.pick({"x": x, "l": self.left(x), "r": self.right(listed)})
        more = self.more([x, picked, listed])
        weighed = picked * (layer_mask.float() @ torch.tensor([1.0, 2.0, 3.0]) + mask.float() @ torch.tensor([5.0, 7.0, 11.0]))
        return weighed if more is None else weighed + more


def tree(rng: Random, depth: int) -> nn.Module:
    """A random tree of choices."""
    if not depth:
        return rng.choice([lambda: nn.Linear(4, 4), nn.Identity, nn.Tanh, lambda: nn.BatchNorm1d(4)])()
    children = [tree(rng, rng.randrange(depth)) for _ in range(3)]
    return LayerChoice(children) if rng.random() < 0.7 else nn.Sequential(*children)


def deep_tree() -> nn.Module:
    rng = Random(5)
    return nn.Sequential(*(LayerChoice([tree(rng, 3) for _ in range(3)]) for _ in range(2)))


def shared_block() -> nn.Module:
    block = nn.Sequential(nn.Linear(4, 4), LayerChoice([nn.Linear(4, 4), nn.Tanh()], key="inner"))
    outer = LayerChoice([block, nn.Sequential(block, nn.ReLU()), nn.Identity()], key="outer")
    return nn.Sequential(outer, outer)


class Unsliced(nn.Module):
    """Values and depths that leave every weight whole."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.name = ValueChoice([1, 2, 4]), ValueChoice(["tanh", "relu"], key="name")
        self.attention = MultiheadAttention(8, self.heads, dropout=ValueChoice([0.1, 0.3]), batch_first=True)
        self.conv = Conv1d(1, 8, 3, stride=ValueChoice([1, 2]), padding=ValueChoice([1, 2]))
        self.blocks = Repeat(lambda index: nn.Sequential(Linear(8, 8), Dropout(ValueChoice([0.1, 0.2]))), depth=(0, 3))
        self.names, self.norm = [self.name + "_"], BatchNorm1d(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x[:, None])).transpose(1, 2)
        x = getattr(x, self.names[0]())() + self.attention(x, x, x, need_weights=False)[0] / self.heads()
        return self.blocks(x)


Make = Callable[[], nn.Module]


@pytest.fixture(params=["nested", "cells", "deep tree", "shared block", "unsliced", "example"])
def make(request: pytest.FixtureRequest, nested: nn.Module, example: ModuleType) -> Make:
    makers: dict[str, Make] = {
        "nested": type(nested),
        "cells": lambda: nn.Sequential(Cell(), Cell()),
        "deep tree": deep_tree,
        "shared block": shared_block,
        "unsliced": Unsliced,
        "example": example.Net,
    }
    return makers[request.param]


def sample_batch(model: nn.Module) -> Tensor:
    return torch.randn((5, 1, 8, 8) if hasattr(model, "stem") else (5, 4))


def warm_up(model: nn.Module) -> None:
    """Give every norm statistics of its own."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)


@pytest.mark.parametrize("bound", [True, False])
def test_output_is_bit_equal_to_the_supernet(make: Make, bound: bool) -> None:
    torch.manual_seed(0)
    supernet = make().eval()
    warm_up(supernet)
    twin = copy.deepcopy(supernet)  # decides, where the supernet itself has no mutator
    mutator = RandomMutator(supernet if bound else twin)
    x = sample_batch(supernet)
    for _ in range(30):
        architecture = mutator.sample_architecture()
        mutator.apply_architecture(architecture)
        plain = freeze(supernet, architecture.to_dict())
        assert torch.equal(plain(x), (supernet if bound else twin)(x))
        assert not any(isinstance(module, ChoiceMutable) for module in plain.modules())


def test_the_original_is_untouched(make: Make) -> None:
    supernet = make()
    mutator = RandomMutator(supernet, seed=1)
    mutator.reset()
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    decisions = dict(mutator.decisions)
    plain = freeze(supernet, mutator.sample_architecture())
    own = {tensor.data_ptr() for tensor in supernet.state_dict().values() if tensor.numel()}
    for tensor in plain.state_dict().values():
        assert tensor.data_ptr() not in own  # a copy: training it leaves the supernet alone
        tensor.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())
    assert dict(mutator.decisions) == decisions
    assert all(place.mutable.mutator is mutator for place in choice_places(supernet))
    assert [parameter.requires_grad for parameter in plain.parameters()].count(False) == 0


def test_names_lose_what_was_not_chosen() -> None:
    net = nn.Sequential()
    net.op = LayerChoice({"a": nn.Linear(2, 2), "b": nn.Sequential(nn.Linear(2, 2, bias=False))}, key="op")
    net.listed = LayerChoice([nn.Linear(2, 2), nn.Identity()], "none", key="listed")
    net.head = nn.Linear(2, 2, bias=False)
    plain = freeze(net, {"op": {"_value": "b"}, "listed": {"_value": "0"}})
    assert list(plain.state_dict()) == ["op.0.weight", "listed.layer.weight", "listed.layer.bias", "head.weight"]
    assert isinstance(plain.op, nn.Sequential)
    assert list(freeze(net, {"op": {"_idx": 0}, "listed": {"_idx": 1}}).state_dict()) == ["op.weight", "op.bias", "head.weight"]


def test_a_reference_from_elsewhere_leads_to_what_became_of_the_choice() -> None:
    net = nn.Sequential(LayerChoice([nn.Linear(2, 2), nn.Identity()], key="op"))
    net.plain_list = [net[0]]
    plain = freeze(net, {"op": {"_idx": 0}})
    assert plain.plain_list[0] is plain[0]


def test_tied_weights_stay_tied_and_alone() -> None:
    net = nn.Sequential(LayerChoice([nn.Linear(2, 2), nn.Linear(2, 2)], key="op"), nn.Linear(2, 2))
    net[1].weight = net[0].candidates[0].weight
    plain = freeze(net, {"op": {"_idx": 0}})
    assert plain[0].weight is plain[1].weight
    assert plain[0].weight is not net[1].weight


def test_a_model_that_is_itself_a_choice_becomes_the_candidate() -> None:
    assert isinstance(freeze(LayerChoice([nn.ReLU(), nn.Tanh()], key="op"), {"op": {"_idx": 1}}), nn.Tanh)


def test_what_does_not_fit_is_refused() -> None:
    net = nn.Sequential(LayerChoice([nn.ReLU(), nn.Tanh()], key="op"))
    with pytest.raises(ArchitectureError, match="'other'"):
        freeze(net, {"op": {"_idx": 0}, "other": {"_idx": 0}})
    with pytest.raises(ModelError, match="no mutables"):
        freeze(nn.Linear(2, 2), {})


def test_a_mutable_of_another_kind_is_named() -> None:
    class Other(ChoiceMutable):
        def to_domain(self) -> dict[str, Any]:
            return {"_type": "choice", "_value": [1, 2]}

    with pytest.raises(ModelError, match="a Other cannot be frozen"):
        freeze(nn.Sequential(Other(key="width")), {"width": 2})


def test_a_frozen_model_is_trained_as_any_other(example: ModuleType) -> None:
    supernet = example.Net()
    space = generate_search_space(supernet)
    architecture = space.sample(Random(0)).to_dict() | {"head.inputs": {"_idx": [0, 2]}}  # the last stage: all take part
    plain = freeze(supernet, architecture)
    plain(torch.randn(4, 1, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in plain.parameters())
    assert all(parameter.grad is None for parameter in supernet.parameters())


def test_a_frozen_model_compiles_and_exports() -> None:
    torch.manual_seed(0)
    supernet = nn.Sequential(Cell(), Cell()).eval()
    plain = freeze(supernet, generate_search_space(supernet).sample(Random(3)))
    x = torch.randn(5, 4)
    expected = plain(x)
    assert torch.equal(torch.compile(plain, backend="aot_eager", fullgraph=True)(x), expected)
    exported = torch.export.export(plain, (x,))
    assert torch.equal(exported.module()(x), expected)
    assert set(exported.state_dict) == set(plain.state_dict())


def test_transplant_takes_the_very_tensors() -> None:
    op = LayerChoice([nn.BatchNorm1d(2), nn.Linear(2, 2)], key="op")
    skeleton = nn.Sequential(op, nn.Linear(2, 2))
    source = copy.deepcopy(skeleton)
    architecture = generate_search_space(skeleton).validate({"op": {"_idx": 0}})
    tensors = {name: tensor for name, tensor in source.state_dict().items() if "candidates.1" not in name}
    plain = transplant(skeleton, choice_places(skeleton), architecture, tensors)
    found = dict(plain.named_parameters()) | dict(plain.named_buffers())
    assert {name.replace("0.candidates.0", "0"): tensor.data_ptr() for name, tensor in tensors.items()} == {
        name: tensor.data_ptr() for name, tensor in found.items()
    }
    assert not any(tensor.requires_grad for tensor in found.values())
    assert all(parameter.requires_grad for parameter in skeleton.parameters())
