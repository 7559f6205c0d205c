"""The supernets whose weights the tests of this folder store, and how these become blocks."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from raynas.nn import BatchNorm1d, LayerChoice, Linear, MultiheadAttention, Repeat, ValueChoice, generate_search_space
from raynas.space import Architecture
from raynas.weights import Block, Layout, LocalStore, Registry
from raynas.weights.publishing import Publication

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.bool, torch.complex64)


def block() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4))


class Supernet(nn.Module):
    """Two choices, one nested, between a stem and a head that are tied."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 4)
        inner = LayerChoice([block(), nn.Linear(4, 4)], key="inner")
        self.outer = LayerChoice(
            {"block": block(), "cell": nn.Sequential(inner, nn.Linear(4, 4)), "skip": nn.Identity()}, key="outer"
        )
        self.head = nn.Linear(4, 4)
        self.head.weight = self.stem.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.outer(self.stem(x)))


class Elastic(nn.Module):
    """Widths and a depth, with a choice in each block."""

    def __init__(self) -> None:
        super().__init__()
        width = ValueChoice([2, 4], key="width")
        self.stem = nn.Sequential(Linear(4, width), BatchNorm1d(width))
        ops = {"linear": lambda: Linear(width, width), "none": nn.Identity}
        self.repeat = Repeat(
            lambda index: LayerChoice({name: make() for name, make in ops.items()}, key=f"op{index}"), depth=(0, 2), key="depth"
        )
        self.attention = MultiheadAttention(width, 2)
        self.head = Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.repeat(self.stem(x))
        return self.head(self.attention(x, x, x, need_weights=False)[0])


class EveryKind(nn.Module):
    """A tensor of each dtype, scalars, empty ones, an expanded one, inside and outside of a choice."""

    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice([nn.Identity(), nn.Module()], key="op")
        for module in (self, self.op.candidates[1]):
            for dtype in DTYPES:
                name = str(dtype).removeprefix("torch.")
                values = torch.randn(3, 5) * 50
                module.register_buffer(f"matrix_{name}", values.to(dtype))
                module.register_buffer(f"scalar_{name}", values[0, 0].to(dtype))
                module.register_buffer(f"empty_{name}", torch.empty(0, 2, dtype=dtype))
            module.register_buffer("odd", torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]))
            module.register_buffer("expanded", torch.ones(1).expand(4))
            module.register_buffer("transposed", torch.randn(2, 3).t())
            module.register_buffer("lost", torch.ones(1), persistent=False)
            module.weight = nn.Parameter(torch.randn(2, 2, dtype=torch.bfloat16))


@pytest.fixture
def supernet() -> Supernet:
    torch.manual_seed(0)
    return Supernet()


@pytest.fixture
def elastic() -> Elastic:
    torch.manual_seed(0)
    return Elastic()


@pytest.fixture
def every_kind() -> EveryKind:
    torch.manual_seed(0)
    return EveryKind()


@pytest.fixture
def registry() -> Registry:
    return Registry("net", LocalStore())


@pytest.fixture
def choose() -> Callable[..., Architecture]:
    """Makes an architecture of a model, given the index of each choice."""

    def choose(model: nn.Module, **choices: int) -> Architecture:
        return generate_search_space(model).validate({key: {"_idx": index} for key, index in choices.items()})

    return choose


@pytest.fixture
def lay() -> Callable[[nn.Module], tuple[Layout, list[Block]]]:
    """Gives a model's layout and its blocks."""

    def lay(model: nn.Module) -> tuple[Layout, list[Block]]:
        state = model.state_dict()
        layout = Layout.of(model, state)
        publication = Publication(layout, state, tuple(range(len(layout.packs))))
        return layout, [block for wave in publication.copied_waves() for _, block in wave]

    return lay
