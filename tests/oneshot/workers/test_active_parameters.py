"""``ActiveParameters`` against the frozen model: what takes part is what is left of the supernet."""

from random import Random

import torch
from torch import nn

from raynas.nn import LayerChoice, Linear, Repeat, ValueChoice, freeze, generate_search_space
from raynas.oneshot.workers.active_parameters import ActiveParameters


class Nested(nn.Module):
    """Choices in choices, a depth, a width, a layer that is used in and outside of a choice."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(4, 4)
        inner = LayerChoice([nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))], key="inner")
        self.outer = LayerChoice([inner, nn.Identity(), self.shared, nn.Linear(4, 4)], key="outer")
        self.deep = Repeat(lambda _: nn.Linear(4, 4), depth=(0, 3), key="depth")
        self.wide = Linear(4, ValueChoice([2, 4], key="width"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.wide(self.deep(self.outer(self.shared(x))))


def test_what_takes_part_is_what_freezing_leaves() -> None:
    model = Nested()
    active, rng = ActiveParameters(model), Random(0)
    space, parameters = generate_search_space(model), list(model.parameters())
    for number, parameter in enumerate(parameters):
        nn.init.constant_(parameter, float(number))  # so that a copy tells where it is from
    for architecture in [space.sample(rng) for _ in range(60)]:
        expected = {int(parameter.flatten()[0]) for parameter in freeze(model, architecture).parameters()}
        assert list(active.of_architectures([architecture])) == sorted(expected)


def test_the_union_is_what_one_of_them_makes_use_of() -> None:
    model = Nested()
    active, rng, space = ActiveParameters(model), Random(1), generate_search_space(model)
    several = [space.sample(rng) for _ in range(3)]
    union = set().union(*(active.of_architectures([architecture]) for architecture in several))
    assert list(active.of_architectures(several)) == sorted(union)


def test_candidates_that_are_mixed_all_take_part() -> None:
    model = Nested()
    everything = ActiveParameters(model).of_decisions({key: range(9) for key in generate_search_space(model)})
    assert list(everything) == list(range(len(list(model.parameters()))))
