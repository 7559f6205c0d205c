"""``MutableScope``: a mutator is told when it is entered and left, whatever happens inside."""

import pytest
import torch
from torch import Tensor, nn

from raynas.mutators import RandomMutator
from raynas.nn import LayerChoice, MutableScope, generate_search_space


class Cell(MutableScope):
    def __init__(self, *layers: nn.Module, key: str | None = None) -> None:
        super().__init__(key)
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("a layer failed")


class Listener(RandomMutator):
    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.heard: list[str] = []

    def enter_mutable_scope(self, scope: MutableScope) -> None:
        self.heard.append(f"enter {scope.key}")

    def exit_mutable_scope(self, scope: MutableScope) -> None:
        self.heard.append(f"exit {scope.key}")


def make_net(last: nn.Module) -> nn.Sequential:
    op = LayerChoice([nn.Identity()], key="op")
    return nn.Sequential(Cell(op, Cell(nn.ReLU()), key="outer"), Cell(last))


def test_nested_scopes_are_entered_and_left_in_order() -> None:
    net = make_net(nn.Identity())
    listener = Listener(net)
    listener.reset()
    net(torch.ones(1))
    assert listener.heard == ["enter outer", "enter 0.layers.1", "exit 0.layers.1", "exit outer", "enter 1", "exit 1"]


def test_a_scope_is_left_when_forward_raises() -> None:
    net = make_net(Failing())
    listener = Listener(net)
    listener.reset()
    with pytest.raises(ValueError, match="a layer failed"):
        net(torch.ones(1))
    assert listener.heard[-2:] == ["enter 1", "exit 1"]


def test_without_a_mutator_a_scope_is_an_ordinary_module() -> None:
    assert torch.equal(Cell(nn.ReLU())(-torch.ones(2)), torch.zeros(2))


def test_a_scope_makes_no_choice() -> None:
    assert list(generate_search_space(make_net(nn.Identity()))) == ["op"]
