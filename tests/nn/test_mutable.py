"""What all mutables share: a key, and a mutator that is bound for good and to one instance."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from raynas.errors import ModelError, MutatorError
from raynas.mutators import RandomMutator
from raynas.nn import InputChoice, LayerChoice


def make_net() -> nn.Sequential:
    return nn.Sequential(LayerChoice([nn.Linear(3, 3), nn.Identity()]), LayerChoice([nn.ReLU(), nn.Tanh()], key="act"))


@pytest.mark.parametrize("mutable", [LayerChoice([nn.Identity()], key="op"), InputChoice(n_candidates=1, key="op")])
def test_without_a_mutator_a_call_says_what_to_do(mutable: nn.Module) -> None:
    with pytest.raises(MutatorError, match=r"Choice op has no mutator.*RandomMutator\(model\).*raynas\.freeze"):
        mutable([torch.ones(1)])


def test_an_automatic_key_is_known_once_a_mutator_is_bound() -> None:
    net = make_net()
    assert [choice.key for choice in net] == [None, "act"]
    RandomMutator(net)
    assert [choice.key for choice in net] == ["0", "act"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["deepcopy", "pickle"])
def test_a_copy_of_a_bound_model_is_unbound(copied: Callable[[nn.Module], Any]) -> None:
    net = make_net()
    mutator = RandomMutator(net)
    mutator.reset()
    twin = copied(net)
    with pytest.raises(MutatorError, match="no mutator"):
        twin(torch.ones(1, 3))
    other = RandomMutator(twin)
    assert twin[0].mutator is other
    assert net[0].mutator is mutator
    net(torch.ones(1, 3))


def test_binding_adds_nothing_to_the_model() -> None:
    net = make_net()
    before = set(net.state_dict()), len(list(net.modules())), len(list(net.parameters()))
    RandomMutator(net)
    assert (set(net.state_dict()), len(list(net.modules())), len(list(net.parameters()))) == before


def test_a_mutable_is_bound_once() -> None:
    net = make_net()
    mutator = RandomMutator(net)
    with pytest.raises(MutatorError, match=r"'act'.*mutator already"):
        net[1].bind(mutator, "act")


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ModelError, match=r"'max' does not exist; expected one of sum, mean, concat, none"):
        LayerChoice([nn.Identity()], reduction="max")  # type: ignore[arg-type]
