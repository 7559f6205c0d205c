"""``LayerChoice``: which candidate runs, and what comes out."""

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ModelError
from raynas.mutators import Mutator, RandomMutator
from raynas.nn import LayerChoice, Reduction


class Scaled(nn.Module):
    def forward(self, x: Tensor, *, scale: float = 1.0) -> Tensor:
        return x * scale


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("this candidate was not to be computed")


class Given(Mutator):
    """Decides what it is told."""

    def __init__(self, model: nn.Module, decision: Tensor) -> None:
        super().__init__(model)
        self.apply_on_model({"op": decision})


def three(**options: Any) -> LayerChoice:
    return LayerChoice({"relu": nn.ReLU(), "lin": nn.Linear(2, 2), "same": nn.Identity()}, **{"key": "op", **options})


def four() -> LayerChoice:
    return LayerChoice([nn.Linear(2, width) for width in (1, 2, 3, 4)], key="op")


def fix(choice: LayerChoice, index: int) -> LayerChoice:
    RandomMutator(choice).apply_architecture({"op": {"_idx": index}})
    return choice


@pytest.mark.parametrize(
    ("candidates", "names"),
    [
        ([nn.ReLU(), nn.Tanh()], ("0", "1")),
        (nn.ModuleList([nn.ReLU(), nn.Tanh()]), ("0", "1")),
        ({"b": nn.ReLU(), "a": nn.Tanh()}, ("b", "a")),
        (OrderedDict(b=nn.ReLU(), a=nn.Tanh()), ("b", "a")),
        (nn.ModuleDict({"b": nn.ReLU(), "a": nn.Tanh()}), ("b", "a")),
        (nn.Sequential(nn.ReLU(), nn.Tanh()), ("0", "1")),
    ],
)
def test_candidates_are_named_by_the_mapping_or_by_index(candidates: Any, names: tuple[str, ...]) -> None:
    choice = LayerChoice(candidates, key="op")
    assert (choice.names, len(choice), choice.length) == (names, 2, 2)
    assert [type(candidate) for candidate in choice.candidates] == [nn.ReLU, nn.Tanh]


@pytest.mark.parametrize("candidates", [[], {}, None, nn.ReLU(), [nn.ReLU(), torch.relu], {"a": None}])
def test_candidates_are_modules_and_at_least_one(candidates: Any) -> None:
    with pytest.raises(ModelError, match=r"LayerChoice op: found .*expected at least one module"):
        LayerChoice(candidates, key="op")


def test_only_the_chosen_one_runs_so_the_others_may_have_any_shape() -> None:
    x = torch.randn(2, 3)
    layers = [nn.Linear(3, 5), nn.Linear(7, 7), nn.Conv2d(1, 1, 3)]
    assert torch.equal(fix(LayerChoice(layers, key="op"), 0)(x), layers[0](x))


def test_arguments_reach_the_candidate() -> None:
    assert fix(LayerChoice([nn.Identity(), Scaled()], key="op"), 1)(torch.ones(1), scale=3.0).item() == 3.0


def test_a_candidate_may_return_a_tuple(doubled: nn.Module) -> None:
    once, twice = fix(LayerChoice([nn.Identity(), doubled], key="op"), 1)(torch.ones(2))
    assert torch.equal(2 * once, twice)


@pytest.mark.parametrize("reduction", ["sum", "mean", "concat"])
def test_one_candidate_is_not_reduced(reduction: Reduction) -> None:
    x = torch.randn(2, 3)
    assert torch.equal(fix(LayerChoice([nn.ReLU(), nn.Identity()], reduction, key="op"), 0)(x), x.relu())


def test_reduction_none_gives_a_list() -> None:
    output = fix(LayerChoice([nn.ReLU(), nn.Identity()], "none", key="op"), 0)(-torch.ones(2))
    assert isinstance(output, list)
    assert [tensor.tolist() for tensor in output] == [[0, 0]]


def test_the_mask_tells_what_was_chosen() -> None:
    output, mask = fix(LayerChoice([nn.ReLU(), nn.Identity(), nn.Tanh()], return_mask=True, key="op"), 1)(-torch.ones(2))
    assert output.tolist() == [-1, -1]
    assert mask.dtype == torch.bool
    assert mask.tolist() == [False, True, False]


def test_state_dict_has_every_candidate_by_index_and_comes_back() -> None:
    one, other = (nn.Sequential(LayerChoice({"a": nn.Linear(2, 2), "b": nn.BatchNorm1d(2)})) for _ in range(2))
    state = one.state_dict()
    norm = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert set(state) == {"0.candidates.0.weight", "0.candidates.0.bias"} | {f"0.candidates.1.{name}" for name in norm}
    RandomMutator(other)
    other.load_state_dict(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in other.state_dict().items())


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("reduction", ["sum", "mean", "concat", "none"])
def test_several_candidates_are_reduced(reduction: Reduction, mask: bool) -> None:
    choice = LayerChoice([nn.ReLU(), Failing(), nn.Identity()], reduction, return_mask=mask, key="op")
    decision = torch.tensor([True, False, True])
    Given(choice, decision)
    x = torch.randn(2, 3)
    output = choice(x)
    if mask:
        output, returned = output
        assert returned.tolist() == decision.tolist()
    parts = [x.relu(), x]
    expected = {"sum": sum(parts), "mean": sum(parts) / 2, "concat": torch.cat(parts, 1), "none": parts}[reduction]
    assert len(output) == len(expected)
    assert all(torch.equal(*pair) for pair in zip(output, expected, strict=True))


def test_a_tuple_comes_with_the_mask_or_in_a_list(doubled: nn.Module) -> None:
    one = torch.ones(2)
    (once, twice), mask = fix(LayerChoice([doubled, nn.Identity()], return_mask=True, key="op"), 0)(one)
    assert (once.tolist(), twice.tolist(), mask.tolist()) == ([1, 1], [2, 2], [True, False])
    ((once, twice),) = fix(LayerChoice([doubled, nn.Identity()], "none", key="op"), 0)(one)
    assert (once.tolist(), twice.tolist()) == ([1, 1], [2, 2])
