"""The dry run: every candidate is met, nothing is changed, and what cannot run is named."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ModelError
from raynas.mutators import RandomMutator
from raynas.nn import InputChoice, LayerChoice, Repeat
from raynas.oneshot.dry_run import covering, dry_run

SAMPLE = torch.zeros(1, 4)


class Head(nn.Module):
    def __init__(self, *candidates: nn.Module) -> None:
        super().__init__()
        self.op = LayerChoice({f"op{number}": candidate for number, candidate in enumerate(candidates)}, key="op")
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.op(x))


def run(model: nn.Module, mixes: bool = False) -> None:
    dry_run(model, RandomMutator(model), SAMPLE, mixes=mixes)


def test_a_candidate_that_does_not_fit_is_named_with_the_shapes_there() -> None:
    with pytest.raises(
        ModelError, match=r"key 'op', candidate 'op1': the model cannot run with it: RuntimeError: .*'op0' \(4,\)"
    ):
        run(Head(nn.Linear(4, 4), nn.Linear(4, 5), nn.Identity()))


def test_shapes_may_differ_where_nothing_is_mixed() -> None:
    model = nn.Sequential(LayerChoice([nn.Linear(4, 4), nn.Linear(4, 5)], key="op"))
    run(model)
    with pytest.raises(ModelError, match=r"key 'op': the outputs .* cannot be mixed: '0' \(4,\), '1' \(5,\)"):
        run(nn.Sequential(LayerChoice([nn.Linear(4, 4), nn.Linear(4, 5)], key="op")), mixes=True)


def test_nothing_is_changed() -> None:
    model = Head(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout()), nn.Identity())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    run(model.train())
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training
    assert not model.op._forward_hooks


class Everything(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.outer = LayerChoice([LayerChoice([nn.Linear(4, 4), nn.Tanh()], key="inner"), nn.Identity()], key="outer")
        self.deep = Repeat(lambda index: LayerChoice([nn.Identity(), nn.ReLU()], key=f"at{index}"), depth=(0, 2), key="depth")
        self.skip = InputChoice(n_candidates=3, n_chosen=None, key="skip")

    def forward(self, x: Tensor) -> Any:
        x = self.deep(self.outer(x))
        return self.skip([x, x, x])


def test_every_option_of_every_key_is_met() -> None:
    mutator = RandomMutator(Everything())
    met = [(key, architecture.indices[key]) for key, _, architecture in covering(mutator.space)]
    expected = [(key, domain.option(n)) for key, domain in mutator.space.items() for n in range(domain.num_options)]
    assert met == expected
    run(Everything())
