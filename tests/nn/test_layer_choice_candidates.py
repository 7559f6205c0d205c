"""``LayerChoice`` as a container of candidates: looking, replacing, deleting."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from raynas.errors import ArchitectureError, ModelError, MutatorError
from raynas.mutators import RandomMutator
from raynas.nn import LayerChoice, Linear, ValueChoice, freeze, generate_search_space


def three(**options: Any) -> LayerChoice:
    return LayerChoice({"relu": nn.ReLU(), "lin": nn.Linear(2, 2), "same": nn.Identity()}, **{"key": "op", **options})


def four() -> LayerChoice:
    return LayerChoice([nn.Linear(2, width) for width in (1, 2, 3, 4)], key="op")


def test_iteration_gives_modules_in_order() -> None:
    choice = three()
    modules = list(choice.candidates)
    assert list(choice) == modules
    assert list(reversed(choice)) == modules[::-1]
    assert dict(zip(choice.names, choice, strict=True)) == {"relu": choice[0], "lin": choice[1], "same": choice[2]}


def test_a_candidate_is_found_by_index_or_by_name() -> None:
    choice = three()
    first, second, last = choice
    assert choice[0] is choice[-3] is choice["relu"] is choice[torch.tensor(0)] is first
    assert choice[2] is choice[-1] is choice["same"] is last
    assert four()["3"].out_features == 4
    assert choice["lin"] is second


@pytest.mark.parametrize(
    ("at", "widths"),
    [
        (slice(None), [1, 2, 3, 4]),
        (slice(1, 3), [2, 3]),
        (slice(-2, None), [3, 4]),
        (slice(None, None, -2), [4, 2]),
        (slice(9, 12), []),
        (slice("1", "3"), [2, 3]),
        (slice("2", None), [3, 4]),
        (slice(1, "2"), [2]),
    ],
)
def test_a_slice_gives_a_list(at: slice, widths: list[int]) -> None:
    found = four()[at]
    assert type(found) is list
    assert [layer.out_features for layer in found] == widths


def test_in_takes_a_name_or_a_module() -> None:
    choice = three()
    assert "lin" in choice
    assert choice[1] in choice
    assert "0" not in choice
    assert nn.ReLU() not in choice
    assert 0 not in choice


@pytest.mark.parametrize("at", [3, -4, "conv", "0", None, 1.0, slice("conv", None)])
def test_what_is_not_there_is_named_with_what_is(at: Any) -> None:
    choice = three()
    message = r"LayerChoice op: there is no candidate .*expected an index from -3 to 2, or one of relu, lin, same"
    with pytest.raises(ModelError, match=message):
        choice[at]
    with pytest.raises(ModelError, match=message):
        del choice[at]
    if not isinstance(at, slice):
        with pytest.raises(ModelError, match=message):
            choice[at] = nn.Tanh()
    assert choice.names == ("relu", "lin", "same")


@pytest.mark.parametrize("at", [1, -2, "lin"])
@pytest.mark.parametrize("bound", [True, False])
def test_a_candidate_is_replaced_and_keeps_its_name(at: int | str, bound: bool) -> None:
    choice = three()
    net = nn.Sequential(choice)
    mutator = RandomMutator(net) if bound else None
    space = generate_search_space(net)
    choice[at] = nn.Tanh()
    assert choice.names == ("relu", "lin", "same")
    assert [type(candidate) for candidate in choice] == [nn.ReLU, nn.Tanh, nn.Identity]
    assert generate_search_space(net) == space
    assert list(net.state_dict()) == []
    if mutator is None:
        mutator = RandomMutator(net)
    mutator.apply_architecture({"op": {"_value": "lin"}})
    assert torch.equal(net(torch.ones(2)), torch.ones(2).tanh())


@pytest.mark.parametrize("module", [None, torch.tanh, [nn.ReLU()]])
def test_only_a_module_replaces_a_candidate(module: Any) -> None:
    choice = three()
    with pytest.raises(ModelError, match=r"LayerChoice op: found .* to replace 'lin'; expected a module"):
        choice["lin"] = module
    with pytest.raises(ModelError, match="there is no candidate slice"):
        choice[0:1] = [nn.ReLU()]  # type: ignore[index]
    assert isinstance(choice["lin"], nn.Linear)


@pytest.mark.parametrize("layer", [LayerChoice([nn.ReLU()], key="in"), Linear(2, ValueChoice([1, 2], key="width"))])
def test_mutables_are_replaced_before_a_mutator_is_bound(layer: nn.Module) -> None:
    choice = three()
    choice["lin"] = nn.Sequential(copy.deepcopy(layer))
    space = generate_search_space(choice)
    (inner,) = set(space) - {"op"}
    assert dict(space[inner].when) == {"op": (1,)}
    RandomMutator(choice)
    for module, at in ((copy.deepcopy(layer), "relu"), (nn.ReLU(), "lin")):
        with pytest.raises(MutatorError, match=f"op: a mutator is bound.*replace '{at}'.*before you make the mutator"):
            choice[at] = module
    assert generate_search_space(choice) == space
    twin = copy.deepcopy(choice)
    twin["lin"] = nn.ReLU()
    assert list(generate_search_space(twin)) == ["op"]


@pytest.mark.parametrize(
    ("at", "named", "numbered"),
    [
        (0, "bcd", [2, 3, 4]),
        (-1, "abc", [1, 2, 3]),
        (1, "acd", [1, 3, 4]),
        (slice(1, 3), "ad", [1, 4]),
        (slice(None, None, 2), "bd", [2, 4]),
        (slice(3, 2, -1), "abc", [1, 2, 3]),
        (slice(None, 1), "bcd", [2, 3, 4]),
        (slice(9, None), "abcd", [1, 2, 3, 4]),
    ],
)
def test_deleting_keeps_names_and_modules_in_step(at: int | slice, named: str, numbered: list[int]) -> None:
    widths = dict(zip("abcd", (1, 2, 3, 4), strict=True))
    mapping, listed = LayerChoice({name: nn.Linear(2, width) for name, width in widths.items()}, key="op"), four()
    for choice in (mapping, listed):
        del choice[at]
        assert [layer.out_features for layer in choice] == numbered
        assert len(choice) == choice.length == len(numbered)
        assert {name.split(".")[1] for name in choice.state_dict()} == {str(index) for index in range(len(numbered))}
    assert mapping.names == tuple(named)
    assert all(mapping[name].out_features == widths[name] for name in named)
    assert listed.names == tuple(str(index) for index in range(len(numbered)))  # names that were indices are counted anew


def test_candidates_are_deleted_by_name() -> None:
    choice = three()
    del choice["lin"]
    assert choice.names == ("relu", "same")
    assert "lin" not in choice
    choice = three()
    del choice["lin":]  # type: ignore[misc]
    assert choice.names == ("relu",)
    digits = LayerChoice({"0": nn.ReLU(), "1": nn.Tanh()}, key="op")
    del digits["0"]
    assert digits.names == ("1",)  # given by hand, though they look like indices


@pytest.mark.parametrize("at", [0, "only", slice(None)])
def test_the_last_candidate_stays(at: Any) -> None:
    choice = LayerChoice({"only": nn.ReLU()}, key="op")
    with pytest.raises(ModelError, match="LayerChoice op: none of only would be left; expected at least one"):
        del choice[at]
    with pytest.raises(ModelError, match="none of 0, 1, 2, 3 would be left"):
        del four()[:]
    assert len(choice) == 1


def test_nothing_is_deleted_behind_a_mutator() -> None:
    net = nn.Sequential(LayerChoice([nn.Linear(2, 2), nn.Identity()]))
    mutator = RandomMutator(net)
    with pytest.raises(MutatorError, match=r"LayerChoice 0: a mutator is bound.*delete 1 before you make the mutator"):
        del net[0][1]
    del net[0][5:]  # deletes nothing
    assert generate_search_space(net) == mutator.space
    twin = copy.deepcopy(net)
    del twin[0][1]
    assert (len(net[0]), len(twin[0])) == (2, 1)
    assert generate_search_space(twin).to_dict() == {"0": {"_type": "layer_choice", "_value": ["0"]}}


def test_the_search_space_has_what_is_left_and_conditions_move_along() -> None:
    inner = LayerChoice([nn.Linear(2, 2), nn.Tanh()], key="in")
    net = nn.Sequential(LayerChoice({"a": nn.ReLU(), "b": nn.Identity(), "c": inner}, return_mask=True, key="op"))
    del net[0]["a"]
    space = generate_search_space(net)
    assert space.to_dict() == {
        "op": {"_type": "layer_choice", "_value": ["b", "c"]},
        "in": {"_type": "layer_choice", "_value": ["0", "1"], "_when": {"op": [1]}},
    }
    mutator, x = RandomMutator(net), torch.randn(3, 2)
    for architecture in space.enumerate():
        mutator.apply_architecture(architecture)
        (output, mask), (frozen_output, frozen_mask) = net(x), freeze(net, architecture)(x)
        assert torch.equal(output, frozen_output)
        assert mask.tolist() == frozen_mask.tolist() == [architecture["op"].value == name for name in "bc"]


def test_choices_of_one_key_lose_their_candidates_together() -> None:
    net = nn.Sequential(three(), three())
    del net[0]["lin"]
    with pytest.raises(ModelError, match="'op' is used twice with different candidates"):
        generate_search_space(net)
    del net[1]["lin"]
    assert generate_search_space(net)["op"].candidates == ("relu", "same")


def test_a_frozen_model_has_what_is_left() -> None:
    net = nn.Sequential(three())
    x, layer = torch.randn(3, 2), net[0]["lin"]
    del net[0]["relu"]
    plain = freeze(net, {"op": {"_value": "lin", "_idx": 0}})
    assert torch.equal(plain(x), layer(x))
    with pytest.raises(ArchitectureError, match="'relu' is no candidate"):
        freeze(net, {"op": {"_value": "relu"}})


def test_a_copy_has_its_own_candidates() -> None:
    choice = four()
    del choice[1]
    twin = copy.deepcopy(choice)
    assert [layer.out_features for layer in twin] == [1, 3, 4]
    assert not {id(layer) for layer in twin} & {id(layer) for layer in choice}
    del twin[0]
    twin[0] = nn.Identity()
    assert (twin.names, choice.names) == (("0", "1"), ("0", "1", "2"))
    assert [layer.out_features for layer in choice] == [1, 3, 4]


def test_a_state_dict_comes_back_after_deleting() -> None:
    one, other = four(), four()
    for choice in (one, other):
        del choice[1:3]
    state = one.state_dict()
    assert set(state) == {f"candidates.{index}.{name}" for index in (0, 1) for name in ("weight", "bias")}
    other.load_state_dict(state)
    assert torch.equal(other[1].weight, one[1].weight)
    with pytest.raises(RuntimeError, match=r"Unexpected key.*candidates\.2"):
        one.load_state_dict(four().state_dict())
