"""Averages: over time against the formula, over workers put back afterwards."""

import contextlib
import copy

import torch
from torch import nn

from raynas.oneshot import World
from raynas.oneshot.moving_average import MovingAverage, averaged_buffers


def test_the_average_is_that_of_the_formula() -> None:
    model = nn.Linear(2, 1, bias=False)
    average = MovingAverage(model, 0.5)
    expected = model.weight.detach().clone()
    for number in range(1, 30):
        with torch.no_grad():
            model.weight += number
        average.update()
        decay = min(0.5, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    with average.swapped_in():
        torch.testing.assert_close(model.weight.detach(), expected)


def test_weights_are_put_back_bit_for_bit_also_after_an_error() -> None:
    model = nn.Linear(3, 3)
    average = MovingAverage(model, 0.9)
    with torch.no_grad():
        model.weight.mul_(3.3)
    before, parameter = model.weight.detach().clone(), model.weight
    with contextlib.suppress(RuntimeError), average.swapped_in():
        assert not torch.equal(model.weight, before)
        raise RuntimeError("inside")
    assert torch.equal(model.weight, before)
    assert model.weight is parameter


def test_it_goes_on_where_it_was() -> None:
    model = nn.Linear(2, 2)
    one, other = MovingAverage(model, 0.9), MovingAverage(copy.deepcopy(model), 0.9)
    with torch.no_grad():
        model.weight += 1
    one.update()
    other.load_state_dict(one.state_dict())
    assert other.num_updates == 1
    assert all(
        torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items() if name != "num_updates"
    )


def test_frozen_parameters_are_not_averaged() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad = False
    assert set(MovingAverage(model, 0.9).state_dict()) == {"weight", "num_updates"}


def test_statistics_of_one_worker_stay() -> None:
    model = nn.BatchNorm1d(2)
    model(torch.randn(8, 2))
    before = model.running_mean.clone()
    with averaged_buffers(model, World()):
        assert torch.equal(model.running_mean, before)
        model.running_mean.zero_()
    assert torch.equal(model.running_mean, before)
