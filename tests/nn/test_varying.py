"""``Varying`` and ``Choices``: what becomes of each module, once and wherever it is referred to."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ModelError
from raynas.mutators import RandomMutator
from raynas.nn import (
    Cell,
    ChoiceMutable,
    Choices,
    Embedding,
    InputChoice,
    LayerChoice,
    Linear,
    Repeat,
    ValueChoice,
    Varying,
    choice_places,
    freeze,
    generate_search_space,
    state_owners,
    transplant,
)
from raynas.nn.varying import Guard


class Fallback(Varying):
    """A user's own: the second module is there when the switch is on, and only then."""

    def __init__(self) -> None:
        super().__init__()
        self.switch = ValueChoice(["off", "on"])
        self.always, self.sometimes = nn.Linear(2, 2), LayerChoice([nn.Linear(2, 2), nn.Tanh()])
        self.times_frozen = 0

    def guards(self) -> Iterator[Guard]:
        yield "sometimes", self.switch, (1,)

    def to_plain(self, choices: Choices) -> nn.Module:
        self.times_frozen += 1
        on = choices.indices(self.switch) == (1,)
        return nn.Sequential(choices.copy(self.always), *([choices.copy(self.sometimes)] if on else []))

    def forward(self, x: Tensor) -> Tensor:
        x = self.always(x)
        return self.sometimes(x) if self.switch() == "on" else x


class Twice(nn.Module):
    """One varying module under two names, and a reference that is none of its submodules."""

    def __init__(self) -> None:
        super().__init__()
        self.one = self.other = Fallback()
        self.listed = [self.one, self.one.always]

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.one(x))


def test_what_a_users_own_guards_say_is_a_condition() -> None:
    space = generate_search_space(Twice())
    assert {key: dict(domain.when) for key, domain in space.items()} == {
        "one.switch": {},
        "one.sometimes": {"one.switch": (1,)},
    }
    assert space.size == 1 + 2
    owners = state_owners(Twice())
    assert owners["one.always.weight"] == ()
    assert owners["other.sometimes.candidates.0.bias"][-1] == ("one.sometimes", (0,))


def test_each_module_becomes_one_wherever_it_is_referred_to() -> None:
    net = Twice()
    mutator = RandomMutator(net)
    x = torch.randn(3, 2)
    for number, architecture in enumerate(mutator.space.enumerate(), 1):
        mutator.apply_architecture(architecture)
        plain = freeze(net, architecture)
        assert plain.one is plain.other is plain.listed[0]
        assert plain.listed[1] is plain.one[0]
        assert plain.one[0] is not net.one.always
        assert net.one.times_frozen == number  # once for each freeze
        assert torch.equal(plain(x), net(x))
        assert not any(isinstance(module, Varying) for module in plain.modules())


def test_a_module_under_two_parents_becomes_one() -> None:
    shared = Fallback()
    net = nn.ModuleList([nn.Sequential(shared), LayerChoice([nn.Sequential(shared), nn.ReLU()], key="op")])
    plain = freeze(net, {"0.0.switch": {"_idx": 0}, "op": {"_idx": 0}})
    assert plain[0][0] is plain[1][0]
    assert shared.times_frozen == 1


def test_a_kind_that_does_not_say_what_becomes_of_it_is_named() -> None:
    class Vague(Varying):
        pass

    net = nn.Sequential(Vague(), LayerChoice([nn.ReLU()], key="op"))
    with pytest.raises(ModelError, match=r"a Vague cannot be frozen: .*define to_plain"):
        freeze(net, {"op": {"_idx": 0}})
    assert list(Vague().guards()) == []


def test_what_was_not_chosen_is_never_copied() -> None:
    class Precious(nn.Module):
        def __deepcopy__(self, memo: Any) -> nn.Module:
            raise AssertionError("copied")

    net = nn.Sequential(LayerChoice([Precious(), nn.Linear(2, 2)], key="op"), ValueChoice([1, 2], key="v"))
    assert isinstance(freeze(net, {"op": {"_idx": 1}, "v": 1})[0], nn.Linear)
    with pytest.raises(AssertionError, match="copied"):
        freeze(net, {"op": {"_idx": 0}, "v": 1})


def test_a_choice_picks_by_its_key_not_by_its_object() -> None:
    net = nn.ModuleList([LayerChoice([nn.ReLU(), nn.Tanh()], key="op"), LayerChoice([nn.Sigmoid(), nn.GELU()], key="op")])
    assert [type(layer) for layer in freeze(net, {"op": {"_idx": 1}})] == [nn.Tanh, nn.GELU]


def test_parts_of_one_weight_are_tied_only_where_they_are_the_same() -> None:
    a, b = ValueChoice([2, 4], key="a"), ValueChoice([2, 4], key="b")
    net = nn.ModuleList([Embedding(8, a), Linear(b, 8, bias=False), Linear(a, 8, bias=False)])
    net[1].weight = net[2].weight = net[0].weight
    for first in (2, 4):
        for second in (2, 4):
            plain = freeze(net, {"a": first, "b": second})
            assert plain[0].weight is plain[2].weight
            assert (plain[0].weight is plain[1].weight) == (first == second)
            assert plain[1].weight.shape == (8, second)


@pytest.mark.parametrize("width", [2, 4])
def test_transplanted_parts_lie_in_the_given_memory(width: int) -> None:
    value = ValueChoice([2, 4], key="w")
    skeleton = nn.Sequential(Linear(3, value), Linear(value, 2))
    given = {name: torch.randn_like(tensor) for name, tensor in skeleton.state_dict().items()}
    architecture = generate_search_space(skeleton).validate({"w": width})
    plain = transplant(skeleton, choice_places(skeleton), architecture, given)
    for name, tensor in plain.named_parameters():
        assert tensor.data_ptr() == given[name].data_ptr()
        assert torch.equal(tensor, given[name][tuple(map(slice, tensor.shape))])
        assert not tensor.requires_grad
    assert plain[0].weight.shape == (width, 3)
    assert all(parameter.requires_grad for parameter in skeleton.parameters())


def test_a_choice_of_another_kind_is_told_what_was_decided() -> None:
    class Scale(ChoiceMutable):
        def to_domain(self) -> dict[str, Any]:
            return {"_type": "choice", "_value": [0.5, 2.0]}

        def to_plain(self, choices: Choices) -> nn.Module:
            return nn.Upsample(scale_factor=(0.5, 2.0)[choices.indices(self)[0]])

    assert freeze(nn.Sequential(Scale(key="s")), {"s": 2.0})[0].scale_factor == 2


class LouderChoice(LayerChoice):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1


class LouderInput(InputChoice):
    def forward(self, inputs: list[Tensor]) -> Tensor:
        return super().forward(inputs) + 1


class LouderRepeat(Repeat):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1


class LouderCell(Cell):
    def forward(self, *inputs: Tensor) -> Tensor:
        return super().forward(*inputs) + 1


@pytest.mark.parametrize(
    ("module", "becomes"),
    [
        (LouderChoice([nn.ReLU()]), "the candidate"),
        (LouderInput(2, n_chosen=1), "SelectInputs"),
        (LouderRepeat(nn.ReLU(), depth=(1, 2)), "Repeated"),
        (LouderCell([lambda node, source: nn.ReLU()], num_nodes=1), "WiredCell"),
    ],
    ids=["layer", "input", "repeat", "cell"],
)
def test_a_forward_that_would_be_lost_is_refused(module: nn.Module, becomes: str) -> None:
    net = nn.Sequential(module)
    with pytest.raises(ModelError, match=f"has a forward of its own, but would be frozen to {becomes}.*to_plain"):
        freeze(net, generate_search_space(net).unrank(0))


def test_a_forward_of_its_own_comes_with_what_becomes_of_it() -> None:
    class Louder(LouderRepeat):
        def to_plain(self, choices: Choices) -> nn.Module:
            return nn.Sequential(*(choices.copy(block) for block in self.blocks[: self.depth.evaluate(choices.decided)]))

    net = nn.Sequential(Louder(nn.ReLU(), depth=(1, 2), key="depth"))
    assert len(freeze(net, {"depth": 2})[0]) == 2
