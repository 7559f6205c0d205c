"""``MixingMutator``: what is mixed and with which weights, what is refused, what is exported."""

import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import OptionError
from raynas.nn import InputChoice, LayerChoice, Repeat, ValueChoice, freeze
from raynas.oneshot.methods.mixing_mutator import MixingMutator


class Times(nn.Module):
    """A number times its input; counts how often it is asked."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number, self.calls = number, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.number * x


class Nested(nn.Module):
    """A key with dots inside a candidate of another, and inputs."""

    def __init__(self) -> None:
        super().__init__()
        inner = LayerChoice({"two": Times(2), "three": Times(3)}, key="inner.op")
        self.op = LayerChoice({"one": Times(1), "inner": nn.Sequential(inner)}, key="op")
        self.skip = InputChoice(n_candidates=3, n_chosen=2, key="skip")

    def forward(self, x: Tensor) -> Any:
        return self.skip([x, self.op(x), 10 * x])


def set_logits(mutator: MixingMutator, **probabilities: list[float]) -> None:
    for key, values in probabilities.items():
        mutator.logits[key.replace("__", ".")].data = torch.tensor(values).log()


def test_a_layer_choice_gives_the_mean_by_the_weights_whatever_its_reduction() -> None:
    for reduction in ("sum", "mean", "concat", "none"):
        choice = LayerChoice([Times(1), Times(10)], reduction, key="op")
        mutator = MixingMutator(choice, "mix")
        set_logits(mutator, op=[0.25, 0.75])
        mutator.reset()
        output = choice(torch.ones(1, 1))
        assert isinstance(output, list) == (reduction == "none")
        assert float(output[0] if reduction == "none" else output) == pytest.approx(7.75)


@pytest.mark.parametrize(
    ("reduction", "n_chosen", "expected"), [("mean", 2, 321.0), ("sum", 2, 642.0), ("sum", 1, 321.0), ("mean", 1, 321.0)]
)
def test_inputs_are_weighed_so_that_as_much_arrives_as_of_whole_ones(reduction: Any, n_chosen: int, expected: float) -> None:
    skip = InputChoice(n_candidates=3, n_chosen=n_chosen, reduction=reduction, key="skip")
    mutator = MixingMutator(skip, "mix")
    set_logits(mutator, skip=[0.1, 0.2, 0.3])
    mutator.logits["skip"].data += 5  # only differences count
    mutator.reset()
    inputs = [torch.tensor(value) for value in (60.0, 600.0, 1.2 * 500)]
    weighed = (0.1 * 60 + 0.2 * 600 + 0.3 * 600) / 0.6
    assert float(skip(inputs)) == pytest.approx(weighed * (2 if n_chosen == 2 and reduction == "sum" else 1))
    equal = [torch.tensor(expected)] * 3  # of equal inputs nothing but the factor is left
    assert float(skip(equal)) == pytest.approx(expected * (2 if n_chosen == 2 and reduction == "sum" else 1))


def test_a_candidate_without_weight_is_not_computed() -> None:
    choice = LayerChoice([Times(1), Times(10)], key="op")
    mutator = MixingMutator(choice, "mix")
    mutator.logits["op"].data = torch.tensor([0.0, -200.0])  # the softmax is exactly 0
    mutator.reset()
    assert float(choice(torch.ones(()))) == 1
    assert [candidate.calls for candidate in choice] == [1, 0]


def test_a_reset_has_no_gradient_and_what_is_relaxed_has() -> None:
    net = Nested()
    mutator = MixingMutator(net, "mix")
    mutator.reset()
    assert not net(torch.ones(1)).requires_grad
    mutator.apply_relaxed(mutator.relax())
    net(torch.ones(1)).sum().backward()
    assert all(alpha.grad is not None and alpha.grad.abs().sum() > 0 for alpha in mutator.alphas)


def test_what_cannot_be_mixed_is_refused_with_all_its_keys() -> None:
    net = nn.ModuleDict(
        {
            "fine": LayerChoice([nn.Identity(), nn.Tanh()]),
            "depth": Repeat(lambda _: nn.Identity(), depth=(1, 2), key="deep"),
            "width": ValueChoice([1, 2]),
            "any": InputChoice(n_candidates=2),
            "none": InputChoice(n_candidates=2, n_chosen=0),
            "beside": InputChoice(n_candidates=3, n_chosen=2, reduction="concat"),
            "list": InputChoice(n_candidates=3, n_chosen=2, reduction="none"),
            "one": InputChoice(n_candidates=3, n_chosen=1, reduction="concat"),
        }
    )
    with pytest.raises(OptionError) as caught:
        MixingMutator(net, "mix")
    assert str(caught.value) == (
        "method 'mix' cannot work with the keys 'deep' (values cannot be mixed), 'width' (values cannot be mixed), "
        "'any' (n_chosen is None, expected at least 1), 'none' (n_chosen is 0, expected at least 1), "
        "'beside' (reduction 'concat' of 2 inputs, expected 'sum' or 'mean'), "
        "'list' (reduction 'none' of 2 inputs, expected 'sum' or 'mean'); take another method, or other mutables"
    )
    for key in ("depth", "width", "any", "none", "beside", "list"):
        del net[key]
    assert set(MixingMutator(net, "mix").space) == {"fine", "one"}  # the refusal has bound nothing


@pytest.mark.parametrize(("op", "expected"), [([0.6, 0.4], {"op", "skip"}), ([0.4, 0.6], {"op", "inner.op", "skip"})])
def test_the_final_architecture_has_the_likeliest_candidates_of_active_keys(op: list[float], expected: set[str]) -> None:
    net = Nested()
    mutator = MixingMutator(net, "mix")
    set_logits(mutator, op=op, inner__op=[0.1, 0.9], skip=[0.3, 0.2, 0.5])
    architecture = mutator.export_architecture()
    assert set(architecture) == expected
    assert architecture["skip"].indices == (0, 2)
    assert "inner.op" not in architecture or architecture["inner.op"].value == "three"
    assert float(freeze(net, architecture)(torch.ones(1))) == 11


def test_the_signal_names_probabilities_and_their_entropy() -> None:
    mutator = MixingMutator(Nested(), "mix")
    set_logits(mutator, op=[0.5, 0.5], inner__op=[0.25, 0.75], skip=[0.2, 0.3, 0.5])
    signal = mutator.signal()
    entropies = [-sum(p * math.log(p) for p in each) for each in ([0.5, 0.5], [0.25, 0.75], [0.2, 0.3, 0.5])]
    assert signal.pop("entropy") == pytest.approx(sum(entropies) / 3)
    assert signal == pytest.approx(
        {
            "alpha/op/one": 0.5,
            "alpha/op/inner": 0.5,
            "alpha/inner.op/two": 0.25,
            "alpha/inner.op/three": 0.75,
            "alpha/skip/0": 0.2,
            "alpha/skip/1": 0.3,
            "alpha/skip/2": 0.5,
        }
    )


def test_inputs_of_one_name_have_a_figure_each() -> None:
    skip = InputChoice(choose_from=["x", "x", "y"], n_chosen=1, key="skip")
    assert set(MixingMutator(skip, "mix").signal()) == {"alpha/skip/x[0]", "alpha/skip/x[1]", "alpha/skip/y", "entropy"}


def test_logits_begin_small_by_the_seed_in_the_precision_of_the_model() -> None:
    one, same, other = (MixingMutator(Nested(), "mix", seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.alphas, same.alphas, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one.alphas, other.alphas, strict=True))
    assert all(0 < alpha.abs().max() < 0.01 and alpha.dtype == torch.float32 for alpha in one.alphas)
    assert MixingMutator(nn.Sequential(LayerChoice([nn.Linear(1, 1).double()])), "mix").alphas[0].dtype == torch.float64


def test_the_state_holds_the_logits_and_the_generator() -> None:
    first, second = MixingMutator(Nested(), "mix", seed=1), MixingMutator(Nested(), "mix", seed=2)
    torch.rand(3, generator=first.generator)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    expected = torch.rand(3, generator=first.generator)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(torch.rand(3, generator=second.generator), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.alphas, second.alphas, strict=True))
