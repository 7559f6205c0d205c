"""``Mutator``: decisions as tensors, checked, applied, and held until the next ones."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ArchitectureError, MutatorError
from raynas.mutators import Mutator
from raynas.nn import InputChoice, LayerChoice, freeze

Decisions = dict[str, Tensor]


def mask(*entries: int) -> Tensor:
    return torch.tensor(entries, dtype=torch.bool)


GOOD = {"op": mask(1, 0, 0), "other": mask(0, 1), "skip": mask(0, 1, 1)}


class Given(Mutator):
    """Decides what it is told."""

    def __init__(self, model: nn.Module, decisions: Mapping[str, Tensor] = GOOD) -> None:
        super().__init__(model)
        self.given = dict(decisions)

    def sample_search(self) -> Decisions:
        return self.given

    def sample_final(self) -> Decisions:
        return self.given


class Handwritten(Mutator):
    """As mutators are written for NNI: over ``self.mutables``, whether active or not."""

    def sample_search(self) -> Decisions:
        decided = {}
        for mutable in self.mutables:
            if isinstance(mutable, LayerChoice):
                decided[mutable.key] = nn.functional.one_hot(torch.tensor(1), num_classes=mutable.length).bool()
            elif isinstance(mutable, InputChoice):
                number = mutable.n_chosen if mutable.n_chosen is not None else mutable.n_candidates
                decided[mutable.key] = torch.arange(mutable.n_candidates) < number
        return decided

    def sample_final(self) -> Decisions:
        return self.sample_search()


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("this candidate was not to be computed")


def test_a_bool_tensor_selects(net: nn.Module, x: Tensor) -> None:
    Given(net).reset()
    assert torch.equal(net(x), net.op.candidates[0](x) + x)


def test_a_bool_tensor_may_select_several(net: nn.Module, x: Tensor) -> None:
    Given(net, GOOD | {"op": mask(1, 1, 0)}).reset()
    assert torch.equal(net.op(x), net.op.candidates[0](x) + x.tanh())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_a_float_tensor_weighs(net: nn.Module, x: Tensor, dtype: torch.dtype) -> None:
    weights = torch.tensor([0.25, 0.5, 0], dtype=dtype)
    Given(net, GOOD | {"op": weights, "skip": torch.tensor([0.5, 0.25, 0.125])}).reset()
    op = net.op.candidates[0](x) * 0.25 + x.tanh() * 0.5
    assert torch.equal(net.op(x), op)
    assert torch.equal(net(x), x * 0.5 + op * 0.25 + x * 0.125)


def test_one_weight_alone_still_weighs(net: nn.Module, x: Tensor) -> None:
    Given(net, GOOD | {"op": torch.tensor([0, 0.5, 0])}).reset()
    assert torch.equal(net.op(x), x.tanh() * 0.5)


@pytest.mark.parametrize("decision", [torch.tensor([-0.1, 0.0, 1.1]), mask(1, 0, 1)])
def test_a_candidate_with_weight_zero_is_not_computed(x: Tensor, decision: Tensor) -> None:
    choice = LayerChoice([nn.Identity(), Failing(), nn.ReLU()], key="op", return_mask=True)
    Given(choice, {"op": decision}).reset()
    _, chosen = choice(x)
    assert chosen.tolist() == [True, False, True]
    choice.mutator.apply_on_model({"op": torch.tensor([0.5, 0.1, 0.4])})
    with pytest.raises(AssertionError, match="not to be computed"):
        choice(x)


def test_weights_are_learnt(net: nn.Module, x: Tensor) -> None:
    weights = torch.tensor([0.25, 0.5, 0], requires_grad=True)
    Given(net, GOOD | {"op": weights}).reset()
    net(x).sum().backward()
    expected = [net.op.candidates[0](x).sum().item(), x.tanh().sum().item(), 0]
    assert weights.grad is not None
    assert weights.grad.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "concat", "none"])
def test_weighted_outputs_are_reduced_as_the_choice_says(x: Tensor, reduction: str) -> None:
    choice = LayerChoice([nn.Identity(), nn.ReLU()], reduction, key="op")  # type: ignore[arg-type]
    Given(choice, {"op": torch.tensor([0.5, 0.25])}).reset()
    parts = [x * 0.5, x.relu() * 0.25]
    expected = {"mean": (parts[0] + parts[1]) / 2, "concat": torch.cat(parts, 1), "none": parts}[reduction]
    assert all(torch.equal(*pair) for pair in zip(choice(x), expected, strict=True))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"op": None}, r"'op' is not decided; expected a tensor of 3"),
        ({"more": mask(1)}, r"'more' is decided, but the model has no such mutable"),
        ({"op": mask(1, 0)}, r"'op': found shape \(2,\); expected a tensor of shape \(3,\)"),
        ({"op": mask(1, 0, 0).view(1, 3)}, r"'op': found shape \(1, 3\)"),
        ({"op": torch.tensor([1, 0, 0])}, r"'op': found torch.int64; expected torch.bool"),
        ({"op": [True, False, False]}, r"'op': found \[True, False, False\]"),
        ({"op": mask(0, 0, 0)}, r"'op': no candidate is selected"),
        ({"op": torch.zeros(3)}, r"'op': no candidate is selected"),
        ({"op": mask(0, 0, 1)}, r"'in' is not decided; expected a tensor of 2"),
    ],
)
def test_a_decision_that_does_not_fit_is_refused_and_changes_nothing(
    net: nn.Module, x: Tensor, changed: Decisions, message: str
) -> None:
    mutator = Given(net)
    mutator.reset()
    before = net(x)
    mutator.given = {key: value for key, value in (GOOD | changed).items() if value is not None}
    with pytest.raises(MutatorError, match=message):
        mutator.reset()
    assert torch.equal(net(x), before)


def test_an_inactive_key_may_be_decided_or_not(net: nn.Module, x: Tensor) -> None:
    mutator = Given(net, GOOD | {"in": mask(0, 1)})
    mutator.reset()
    assert torch.equal(net(x), net.op.candidates[0](x) + x)
    assert mutator.export_architecture() == {
        "op": {"_value": "a", "_idx": 0},
        "other": {"_value": "1", "_idx": 1},
        "skip": {"_value": ["1", "2"], "_idx": [1, 2]},
    }


def test_before_the_first_reset_a_call_says_what_to_do(net: nn.Module, x: Tensor) -> None:
    Given(net)
    with pytest.raises(MutatorError, match=r"'op': nothing is decided yet; call mutator\.reset\(\)"):
        net(x)


def test_decisions_hold_until_the_next(net: nn.Module, x: Tensor) -> None:
    mutator = Given(net)
    mutator.reset()
    before = net(x)
    mutator.given = GOOD | {"op": mask(0, 1, 0)}
    assert torch.equal(net(x), before)
    mutator.export()
    mutator.export_architecture()
    assert torch.equal(net(x), before)
    mutator.reset()
    assert torch.equal(net(x), x.tanh() + x)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"op": torch.tensor([0.2, 0.8, 0])}, "'op': the decision .* weighs candidates"),
        ({"op": mask(1, 1, 0)}, "'op': the mask selects 2 candidates"),
        ({"op": mask(0, 0, 0)}, "'op': the mask selects 0 candidates"),
        ({"skip": mask(1, 1, 1)}, "'skip': 3 inputs chosen; expected 2"),
        ({"skip": torch.tensor([0.5, 0.5, 0])}, "'skip': the decision .* weighs"),
        ({"op": mask(0, 0, 1)}, "'in' is missing"),
    ],
)
def test_only_whole_decisions_are_exported_as_an_architecture(net: nn.Module, changed: Decisions, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        Given(net, GOOD | changed).export_architecture()


@pytest.mark.parametrize("wrong", [torch.tensor(True), [True, False, False], None])
def test_only_tensors_are_exported(net: nn.Module, wrong: Any) -> None:
    with pytest.raises(MutatorError, match=r"'op': export gave .*expected a tensor with an entry for each candidate"):
        Given(net, GOOD | {"op": wrong}).export_architecture()


@pytest.mark.parametrize("given", [None, [1]])
def test_decisions_are_a_mapping(net: nn.Module, given: Any) -> None:
    mutator = Given(net)
    mutator.given = given
    with pytest.raises(MutatorError, match=f"sample_search gave {type(given).__name__}; expected a mapping"):
        mutator.reset()
    with pytest.raises(MutatorError, match=f"export gave {type(given).__name__}; expected a mapping"):
        mutator.export_architecture()


def test_one_hot_floats_are_whole(net: nn.Module) -> None:
    mutator = Given(net, GOOD | {"op": torch.tensor([0.0, 1.0, 0.0])})
    assert mutator.export_architecture() == Given(type(net)(), GOOD | {"op": mask(0, 1, 0)}).export_architecture()


def test_architectures_are_applied_one_after_the_other(net: nn.Module, x: Tensor) -> None:
    mutator = Given(net)
    for architecture in mutator.space.enumerate():
        mutator.apply_architecture(architecture.to_dict())
        assert {key: decision.indices for key, decision in mutator.decisions.items()} == architecture.indices
        assert torch.equal(net(x), freeze(net, architecture)(x))
    with pytest.raises(ArchitectureError, match="'op' is missing"):
        mutator.apply_architecture({})
    assert torch.equal(net(x), freeze(net, architecture)(x))


def test_equal_keys_decide_alike(x: Tensor) -> None:
    net = nn.Sequential(*(LayerChoice([nn.Identity(), scale], key="op") for scale in (nn.ReLU(), nn.Tanh())))
    mutator = Given(net, {"op": mask(0, 1)})
    mutator.reset()
    assert torch.equal(net(x), x.relu().tanh())


def test_a_mutator_in_the_manner_of_nni(net: nn.Module, x: Tensor) -> None:
    mutator = Handwritten(net)
    mutator.reset()
    assert torch.equal(net(x), x + x.tanh())
    assert mutator.export_architecture() == {
        "op": {"_value": "b", "_idx": 1},
        "other": {"_value": "1", "_idx": 1},
        "skip": {"_value": ["0", "1"], "_idx": [0, 1]},
    }
    assert mutator.export()["in"].tolist() == [False, True]  # as it was decided, active or not


def test_what_is_not_defined_is_named(net: nn.Module) -> None:
    mutator = Mutator(net)
    with pytest.raises(MutatorError, match="does not define sample_search"):
        mutator.reset()
    with pytest.raises(MutatorError, match="does not define sample_final"):
        mutator.export()
