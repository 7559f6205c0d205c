"""The model that the tests of this folder decide for."""

import pytest
import torch
from torch import Tensor, nn

from raynas.nn import InputChoice, LayerChoice


class Net(nn.Module):
    """A layer choice, one nested in it, and an input choice that sees both outputs and the input."""

    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice(
            {"a": nn.Linear(4, 4), "b": nn.Tanh(), "c": LayerChoice([nn.ReLU(), nn.Linear(4, 4)], key="in")}, key="op"
        )
        self.other = LayerChoice([nn.Linear(4, 4), nn.Identity()], key="other")
        self.skip = InputChoice(n_candidates=3, n_chosen=2, key="skip")

    def forward(self, x: Tensor) -> Tensor:
        return self.skip([x, self.op(x), self.other(x)])


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def x() -> Tensor:
    return torch.linspace(-1, 1, 8).view(2, 4)
