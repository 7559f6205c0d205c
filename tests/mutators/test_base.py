"""``BaseMutator``: bound for good, its own parameters only, and called back by the mutables."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ModelError, MutatorError
from raynas.mutators import BaseMutator, RandomMutator
from raynas.nn import InputChoice, LayerChoice, MutableScope, generate_search_space


class Everything(BaseMutator):
    """Runs all candidates of a layer choice, takes the last input, and has a parameter of its own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.alpha = nn.Parameter(torch.ones(3))

    def on_forward_layer_choice(self, mutable: LayerChoice, *args: Any, **kwargs: Any) -> tuple[Any, Tensor]:
        output = sum(candidate(*args, **kwargs) for candidate in mutable.candidates)
        return output, torch.ones(len(mutable), dtype=torch.bool)

    def on_forward_input_choice(self, mutable: InputChoice, inputs: list[Any]) -> tuple[Any, None]:
        return inputs[-1], None


def test_mutables_are_one_for_each_key_in_the_order_of_the_space() -> None:
    scope = MutableScope(key="cell")
    scope.first, scope.second = LayerChoice([nn.ReLU()], key="op"), LayerChoice([nn.ReLU()], key="op")
    scope.third = InputChoice(n_candidates=2)
    mutator = BaseMutator(nn.Sequential(scope))
    assert [mutable.key for mutable in mutator.mutables] == ["op", "0.third"] == list(mutator.space)
    assert mutator.mutables[0] is scope.first
    assert scope.mutator is mutator


def test_the_space_is_the_models(net: nn.Module) -> None:
    assert generate_search_space(net) == BaseMutator(net).space


def test_parameters_are_its_own(net: nn.Module) -> None:
    mutator = Everything(net)
    assert list(mutator.state_dict()) == ["alpha"]
    assert [id(parameter) for parameter in mutator.parameters()] == [id(mutator.alpha)]
    assert list(mutator.modules()) == [mutator]
    assert all(parameter is not mutator.alpha for parameter in net.parameters())


def test_a_second_mutator_is_refused_and_the_first_stays(net: nn.Module, x: Tensor) -> None:
    first = RandomMutator(net)
    first.reset()
    with pytest.raises(MutatorError, match="has a mutator already; create the model again"):
        RandomMutator(net)
    assert net.op.mutator is first
    net(x)


def test_a_model_that_is_partly_bound_is_not_touched() -> None:
    bound, free = LayerChoice([nn.ReLU()], key="bound"), LayerChoice([nn.ReLU()], key="free")
    RandomMutator(bound)
    with pytest.raises(MutatorError, match="already"):
        RandomMutator(nn.Sequential(free, bound))
    RandomMutator(free)


def test_a_model_without_choices_is_refused() -> None:
    with pytest.raises(ModelError, match="nothing to search"):
        BaseMutator(nn.Linear(2, 2))


def test_callbacks_decide(net: nn.Module, x: Tensor) -> None:
    Everything(net)
    assert torch.equal(net(x), net.other.candidates[0](x) + x)


@pytest.mark.parametrize("kind", ["layer", "input"])
def test_a_callback_that_is_missing_is_named(net: nn.Module, x: Tensor, kind: str) -> None:
    BaseMutator(net)
    choice, argument = (net.op, x) if kind == "layer" else (net.skip, [x] * 3)
    with pytest.raises(MutatorError, match=f"define on_forward_{kind}_choice"):
        choice(argument)
