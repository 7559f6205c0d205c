"""The walk: keys, conditions, and to whom each weight belongs."""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ModelError
from raynas.mutators import RandomMutator
from raynas.nn import (
    InputChoice,
    LayerChoice,
    MutableScope,
    choice_places,
    find_mutables,
    freeze,
    generate_search_space,
    state_owners,
)
from raynas.nn.walk import merge_conditions


def two(key: str | None = None) -> LayerChoice:
    return LayerChoice([nn.Linear(4, 4), nn.Identity()], key=key)


def keys(model: nn.Module) -> list[str]:
    return [place.key for place in find_mutables(model)]


class Pair(nn.Module):
    """Two names for whatever it is given."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def test_keys_are_paths_or_given_and_the_same_for_every_instance(nested: nn.Module) -> None:
    assert keys(nested) == ["op", "op.candidates.0.1", "deep"]
    assert keys(type(nested)()) == keys(nested)
    RandomMutator(nested)
    assert keys(nested) == ["op", "op.candidates.0.1", "deep"]


def test_wrappers_leave_no_trace_in_keys(nested: nn.Module) -> None:
    expected = keys(nested)
    assert keys(nn.DataParallel(nested)) == expected
    assert keys(torch.compile(nested, backend="eager")) == expected
    wrapped = torch.compile(nn.DataParallel(nested), backend="eager")
    assert keys(wrapped) == expected
    assert find_mutables(wrapped)[0].path == "_orig_mod.module.op"


def test_order_is_that_of_named_modules_scopes_included() -> None:
    scope = MutableScope()
    scope.inside = two()
    net = Pair(scope, InputChoice(n_candidates=2))
    assert keys(net) == ["first", "first.inside", "second"]
    assert [place.key for place in choice_places(net)] == ["first.inside", "second"]


def test_nesting_gives_conditions_that_name_every_ancestor(nested: nn.Module) -> None:
    conditions = {place.key: place.uses for place in find_mutables(nested)}
    assert conditions == {
        "op": [{}],
        "op.candidates.0.1": [{"op": [0]}],
        "deep": [{"op": [0], "op.candidates.0.1": [1]}],
    }


def test_an_automatic_key_equal_to_a_given_one_is_refused() -> None:
    with pytest.raises(ModelError, match="'second' was given by hand"):
        find_mutables(Pair(two(key="second"), two()))


def test_two_automatic_keys_that_differ_in_a_wrapper_only_are_refused() -> None:
    net = nn.Module()
    net.op, net.module = two(), nn.Module()
    net.module.op = two()
    with pytest.raises(ModelError, match=r"op and module\.op have one key"):
        find_mutables(net)


def test_a_model_that_is_itself_a_mutable_needs_a_key() -> None:
    with pytest.raises(ModelError, match="the model itself is a LayerChoice; give it a key"):
        find_mutables(two())
    assert keys(two("op")) == ["op"]
    assert state_owners(two("op")) == {"candidates.0.weight": (("op", (0,)),), "candidates.0.bias": (("op", (0,)),)}


def test_a_module_under_two_names_is_found_once_under_the_first() -> None:
    cell = nn.Sequential(two())
    net = Pair(cell, cell)
    assert [(place.key, place.path) for place in find_mutables(net)] == [("first.0", "first.0")]
    mutator = RandomMutator(net)
    mutator.apply_architecture({"first.0": {"_idx": 0}})
    x = torch.randn(1, 4)
    assert torch.equal(net(x), cell[0].candidates[0](cell[0].candidates[0](x)))


def test_a_block_that_candidates_share_is_active_in_each_of_them() -> None:
    block = nn.Sequential(LayerChoice([two("deep"), nn.Identity()]))
    net = nn.Sequential(LayerChoice([Pair(block, nn.ReLU()), nn.Identity(), Pair(nn.Tanh(), block)], key="outer"))
    inner = "0.candidates.0.first.0"
    assert {key: domain.when for key, domain in generate_search_space(net).items()} == {
        "outer": {},
        inner: {"outer": (0, 2)},
        "deep": {"outer": (0, 2), inner: (0,)},
    }
    mutator = RandomMutator(net)
    for architecture in mutator.space.enumerate():  # 2 * (2 + 1) + 1 of them
        mutator.apply_architecture(architecture)
        net(torch.ones(1, 4))
    assert mutator.space.size == 7


def test_a_mutable_inside_and_outside_of_a_candidate_is_always_active() -> None:
    inner = two("inner")
    net = Pair(LayerChoice([inner, nn.Identity()], key="outer"), inner)
    assert {key: dict(domain.when) for key, domain in generate_search_space(net).items()} == {"outer": {}, "inner": {}}
    x = torch.randn(2, 4)
    for architecture in generate_search_space(net).enumerate():
        plain = freeze(net, architecture)
        RandomMutator(fresh := copy.deepcopy(net)).apply_architecture(architecture)
        assert torch.equal(plain(x), fresh(x))


@pytest.mark.parametrize(
    ("uses", "expected"),
    [
        ([{}, {"a": [0]}], {}),
        ([{"a": [0]}, {"b": [1]}, {}], {}),
        ([{"a": [0]}, {"a": [2]}, {"a": [1]}], {"a": [0, 1, 2]}),
        ([{"a": [0], "b": [0]}, {"a": [0]}], {"a": [0]}),
        ([{"a": [0], "b": [0]}, {"a": [0], "b": [1]}], {"a": [0], "b": [0, 1]}),
        ([{"a": [0, 1]}, {"a": [1], "b": [1]}, {"a": [2]}], {"a": [0, 1, 2]}),
        ([{"a": [i], "b": [j]} for i in (0, 1) for j in (0, 1)], {"a": [0, 1], "b": [0, 1]}),
        ([{"a": [0]}, {"b": [1]}], None),
        ([{"a": [0], "b": [0]}, {"a": [1], "b": [1]}], None),
    ],
)
def test_a_key_is_active_wherever_one_of_its_uses_is(
    uses: list[dict[str, list[int]]], expected: dict[str, list[int]] | None
) -> None:
    for order in itertools.permutations(uses):
        if expected is None:
            with pytest.raises(ModelError, match="'k' is used under conditions that have nothing to do with each other"):
                merge_conditions("k", list(order))
        else:
            assert merge_conditions("k", list(order)) == expected


def test_a_weight_hangs_on_every_candidate_around_it(nested: nn.Module) -> None:
    owners = {name.removesuffix(".weight"): owner for name, owner in state_owners(nested).items() if name.endswith("weight")}
    assert owners == {
        "op.candidates.0.0": (("op", (0,)),),
        "op.candidates.0.1.candidates.0": (("op", (0,)), ("op.candidates.0.1", (0,))),
        "op.candidates.0.1.candidates.1.candidates.1": (("op", (0,)), ("op.candidates.0.1", (1,)), ("deep", (1,))),
        "head": (),
    }
    assert set(state_owners(nested)) == set(nested.state_dict())


def test_a_choice_under_two_names_owns_its_weights_under_both() -> None:
    choice = two("op")
    assert set(state_owners(Pair(choice, choice)).values()) == {(("op", (0,)),)}


def test_a_tensor_that_two_candidates_share_lies_outside() -> None:
    net = nn.Sequential(LayerChoice([nn.Linear(4, 4), nn.Linear(4, 4)], key="op"))
    net[0].candidates[1].weight = net[0].candidates[0].weight
    assert state_owners(net) == {
        "0.candidates.0.weight": (),
        "0.candidates.0.bias": (("op", (0,)),),
        "0.candidates.1.weight": (),
        "0.candidates.1.bias": (("op", (1,)),),
    }
