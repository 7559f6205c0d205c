"""Models that the tests of this folder share."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from torch import Tensor, nn

from raynas.nn import LayerChoice

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits.py"


class Doubled(nn.Module):
    """Returns a tuple."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, 2 * x


class Nested(nn.Module):
    """A choice inside a choice inside a choice, with keys of both kinds."""

    def __init__(self) -> None:
        super().__init__()
        inner = LayerChoice([nn.Linear(4, 4), LayerChoice([nn.ReLU(), nn.Linear(4, 4)], key="deep")])
        self.op = LayerChoice({"cell": nn.Sequential(nn.Linear(4, 4), inner), "skip": nn.Identity()})
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.op(x))


@pytest.fixture
def doubled() -> nn.Module:
    return Doubled()


@pytest.fixture
def nested() -> nn.Module:
    return Nested()


@pytest.fixture(scope="session")
def example() -> ModuleType:
    """``examples/digits.py``, loaded by its path as the command line does."""
    spec = importlib.util.spec_from_file_location("digits_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
