"""``freeze`` where weights are sliced: the tree is torch's, really small, and computes the same up to rounding."""

import copy
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import raynas.nn
from raynas.mutators import RandomMutator
from raynas.nn import LayerChoice, Linear, Mutable, Repeat, SlicedLayer, ValueChoice, freeze, generate_search_space
from raynas.nn.frozen import Repeated


class Net(nn.Module):
    """A layer of every kind, from ``raynas.nn`` or from ``torch.nn``, whose weights are partly tied."""

    def __init__(self, kinds: ModuleType, width: Any, kernel: Any, heads: Any, hidden: Sequence[Any], depth: Any) -> None:
        super().__init__()
        depthwise = kinds.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.conv = nn.Sequential(kinds.Conv2d(1, width, 1), kinds.BatchNorm2d(width), depthwise)
        self.flat = nn.Sequential(kinds.Conv1d(width, width, kernel, bias=False), kinds.BatchNorm1d(width))
        self.embed, self.scale = kinds.Embedding(6, width), kinds.LayerNorm(width)
        self.attention = kinds.MultiheadAttention(width, heads, batch_first=True)
        blocks = [nn.Sequential(kinds.Linear(width, each), nn.ReLU(), kinds.Linear(each, width)) for each in hidden]
        self.repeat = Repeat(blocks, depth=depth) if isinstance(depth, ValueChoice) else Repeated(blocks[:depth])
        self.head = kinds.Linear(width, 6, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.flat(self.conv(x).flatten(2)).transpose(1, 2)
        x = self.scale(x + self.embed(torch.arange(x.shape[1]) % 6))
        x = x + self.attention(x, x, x)[0]
        return self.head(self.repeat(x))


def make() -> Net:
    torch.manual_seed(0)
    width, kernel, heads, depth = (
        ValueChoice(values, key=key)
        for key, values in {"width": [4, 6, 8], "kernel": [3, 1], "heads": [1, 2], "depth": [1, 3]}.items()
    )
    net = Net(raynas.nn, width, kernel, heads, [ValueChoice([3, 5]) for _ in range(3)], depth)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return net


def plain_of(architecture: Any) -> Net:
    """The model of the architecture, from torch's layers alone."""
    value = {key: entry["_value"] for key, entry in architecture.items()}
    hidden = [value.get(f"repeat.blocks.{number}.0.out_features") for number in range(value["depth"])]
    return Net(torch.nn, value["width"], value["kernel"], value["heads"], hidden, value["depth"])


X = torch.linspace(-2, 2, 2 * 12).view(2, 1, 3, 4)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_outputs_are_the_supernets_up_to_rounding(dtype: torch.dtype, tolerance: float) -> None:
    net = make().to(dtype).eval()
    mutator = RandomMutator(net)
    assert mutator.space.size == 3 * 2 * 2 * (2 + 8)
    for architecture in mutator.space.enumerate():
        mutator.apply_architecture(architecture)
        found, expected = freeze(net, architecture)(X.to(dtype)), net(X.to(dtype))
        assert (found - expected).abs().max() <= tolerance * expected.abs().max()


def test_a_frozen_model_is_torchs_model_of_the_sizes_chosen() -> None:
    net = make().eval()
    for architecture in generate_search_space(net).enumerate():
        plain, reference = freeze(net, architecture), plain_of(architecture).eval()
        assert repr(plain) == repr(reference)
        assert list(plain.state_dict()) == list(reference.state_dict())
        reference.load_state_dict(plain.state_dict())
        assert torch.equal(plain(X), reference(X))
        assert plain.head.weight is plain.embed.weight
        assert sum(tensor.numel() for tensor in plain.parameters()) == sum(each.numel() for each in reference.parameters())
        for module in plain.modules():
            assert not isinstance(module, Mutable | SlicedLayer | ValueChoice | Repeat)
            assert not any(isinstance(each, RandomMutator | SlicedLayer) for each in vars(module).values())


def test_training_the_frozen_model_leaves_the_supernet_alone() -> None:
    net = make()
    before = copy.deepcopy(net.state_dict())
    for architecture in ({"width": 4, "depth": 1}, {"width": 8, "depth": 3}):
        blocks = {f"repeat.blocks.{number}.0.out_features": 5 for number in range(architecture["depth"])}
        plain = freeze(net, {**architecture, **blocks, "kernel": 3, "heads": 2})
        optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
        start = copy.deepcopy(plain.state_dict())
        plain(X).square().sum().backward()
        optimizer.step()
        changed = [name for name, tensor in plain.state_dict().items() if not torch.equal(tensor, start[name])]
        assert set(changed) >= set(start) - {
            "conv.0.bias",
            "attention.in_proj_bias",
            "conv.2.bias",
        }  # no gradient before a norm
        assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
        assert all(parameter.grad is None for parameter in net.parameters())


def test_a_frozen_model_compiles_and_exports() -> None:
    net = make().eval()
    plain = freeze(net, RandomMutator(net, seed=2).sample_architecture())
    expected = plain(X)
    torch.testing.assert_close(torch.compile(plain, backend="aot_eager", fullgraph=True)(X), expected)
    exported = torch.export.export(plain, (X,))
    torch.testing.assert_close(exported.module()(X), expected)
    assert set(exported.state_dict) == set(plain.state_dict())


class Shared(nn.Module):
    """One choice, and one block with a choice, each a candidate of two others and used outside of them too."""

    def __init__(self) -> None:
        super().__init__()
        width = ValueChoice([2, 4], key="width")
        self.inner = LayerChoice([nn.Sequential(Linear(4, width), Linear(width, 4)), nn.Tanh()], key="inner")
        self.block = nn.Sequential(nn.Linear(4, 4), LayerChoice([nn.ReLU(), Linear(4, 4)]))
        self.left = LayerChoice([self.inner, self.block, nn.Identity()], key="left")
        self.right = LayerChoice([nn.Sequential(self.block), nn.Identity(), self.inner], key="right")

    def forward(self, x: Tensor) -> Tensor:
        return self.right(self.left(self.block(self.inner(x))))


def test_a_choice_that_others_share_is_frozen_once_and_right() -> None:
    net = Shared().double()
    mutator = RandomMutator(net)
    x = torch.randn(3, 4).double()
    assert mutator.space.size == (2 + 1) * 2 * 3 * 3
    for architecture in mutator.space.enumerate():
        mutator.apply_architecture(architecture)
        plain = freeze(net, architecture)
        torch.testing.assert_close(plain(x), net(x), rtol=0, atol=1e-12)
        assert not any(isinstance(module, Mutable | SlicedLayer) for module in plain.modules())
        assert (plain.left is plain.inner) == (architecture["left"]["_idx"] == 0)
        assert (plain.right is plain.inner) == (architecture["right"]["_idx"] == 2)
        assert (plain.left is plain.block) == (architecture["left"]["_idx"] == 1)
