import pytest
import torch
from torch import Tensor, nn

import raynas
from raynas.errors import OptionError
from raynas.mutators import RandomMutator
from raynas.nn import InputChoice, LayerChoice, Linear, Repeat, ValueChoice


class Net(nn.Module):
    """A width that varies, a choice that is reached at one depth only, a choice that may pick nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.width = ValueChoice([4, 16], key="width")
        self.stem = LayerChoice([Linear(2, self.width), nn.Sequential(Linear(2, self.width), nn.Tanh())], key="stem")
        self.body = Repeat(lambda index: LayerChoice([nn.ReLU(), nn.Tanh()], key=f"body{index}"), depth=(0, 6), key="depth")
        self.pick = InputChoice(2, key="pick", return_mask=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        picked, _ = self.pick([x, self.body(x)])
        return x if picked is None else picked


def test_shapes_are_ranges_over_architectures() -> None:
    shapes = raynas.output_shapes(Net(), torch.zeros(3, 2))
    assert shapes == dict.fromkeys(("stem", *(f"body{index}" for index in range(6)), "pick"), "(3, 4..16)")
    assert raynas.output_shapes(Net(), input_shape=(3, 2)) == shapes


def test_a_bound_model_is_left_as_it_is() -> None:
    net = Net()
    mutator = RandomMutator(net)
    mutator.reset()
    before = net(torch.ones(1, 2))
    raynas.output_shapes(net, torch.zeros(1, 2))
    assert torch.equal(net(torch.ones(1, 2)), before)
    assert net.training


def test_outputs_of_different_rank_vary() -> None:
    net = nn.Sequential(LayerChoice([nn.Flatten(), nn.Identity()], key="op"))
    assert raynas.output_shapes(net, input_shape=(1, 2, 2)) == {"op": "varies"}


@pytest.mark.parametrize("arguments", [{}, {"sample_input": torch.zeros(1, 2), "input_shape": (1, 2)}])
def test_exactly_one_of_sample_and_shape_is_needed(arguments: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="either a sample input or its shape"):
        raynas.output_shapes(Net(), **arguments)  # type: ignore[arg-type]
