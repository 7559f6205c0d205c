"""``Repeat``: depth as a choice."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ModelError, MutatorError
from raynas.mutators import RandomMutator
from raynas.nn import (
    Dropout,
    LayerChoice,
    Linear,
    Mutable,
    Repeat,
    ValueChoice,
    choice_places,
    find_mutables,
    freeze,
    generate_search_space,
    state_owners,
)

Make = Callable[[], nn.Module]
X = torch.linspace(-1, 1, 12).view(3, 4)


def choice(number: int = 2, key: str | None = None) -> LayerChoice:
    return LayerChoice([nn.Linear(4, 4) for _ in range(number)], key=key)


def whens(model: nn.Module) -> dict[str, dict[str, tuple[int, ...]]]:
    return {key: dict(domain.when) for key, domain in generate_search_space(model).items()}


def check_frozen(make: Make) -> None:
    """Every architecture, frozen, computes what the supernet does, bit for bit, and only what is used is there."""
    net = make().eval()
    mutator = RandomMutator(net)
    for architecture in mutator.space.enumerate():
        mutator.apply_architecture(architecture)
        plain = freeze(net, architecture)
        assert torch.equal(plain(X), net(X))
        assert not any(isinstance(module, Repeat | Mutable) for module in plain.modules())
        used = list(plain.parameters())
        if used:
            plain(X).sum().backward()
        assert all(parameter.grad is not None for parameter in used)  # nothing beyond the depth


@pytest.mark.parametrize("depth", [(1, 4), (0, 3), (2, 2), (0, 0)])
def test_the_size_is_a_sum_over_depths(depth: tuple[int, int]) -> None:
    net = nn.Sequential(Repeat(lambda index: choice(3), depth=depth, key="depth"))
    space = generate_search_space(net)
    assert space.size == sum(3**number for number in range(depth[0], depth[1] + 1)) == len(list(space.enumerate()))


def test_blocks_beyond_the_depth_are_inactive() -> None:
    net = nn.Sequential(Repeat(lambda index: choice(), depth=(2, 4)))
    assert whens(net) == {
        "0.depth": {},
        "0.blocks.0": {},
        "0.blocks.1": {},
        "0.blocks.2": {"0.depth": (1, 2)},
        "0.blocks.3": {"0.depth": (2,)},
    }
    for architecture in generate_search_space(net).enumerate():
        assert len(architecture) == 1 + architecture["0.depth"]["_value"]


@pytest.mark.parametrize("depths", [[3, 1], [1, 3], [4, 0, 2]])
def test_depths_may_skip_and_come_in_any_order(depths: list[int]) -> None:
    net = nn.Sequential(Repeat(lambda index: choice(), depth=ValueChoice(depths, key="d")))
    assert generate_search_space(net).size == sum(2**depth for depth in depths)
    check_frozen(lambda: copy.deepcopy(net))


def test_the_first_blocks_run_in_order() -> None:
    class Note(nn.Module):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def forward(self, x: list[int]) -> list[int]:
            return [*x, self.number]

    net = Repeat(Note, depth=(0, 3), key="depth")
    mutator = RandomMutator(net)
    for depth in range(4):
        mutator.apply_architecture({"depth": depth})
        assert net([]) == freeze(net, {"depth": depth})([]) == list(range(depth))


def nested() -> nn.Module:
    return nn.Sequential(Repeat(lambda i: Repeat(lambda j: choice(), depth=(0, 2)), depth=(1, 3)))


def inside_a_candidate() -> nn.Module:
    repeat = Repeat(lambda i: nn.Sequential(choice(), nn.Tanh()), depth=(1, 2), key="depth")
    return nn.Sequential(LayerChoice([nn.Identity(), nn.Sequential(repeat), choice(3)], key="op"))


def candidates_inside() -> nn.Module:
    return nn.Sequential(Repeat(lambda i: LayerChoice([choice(), Repeat(choice(), depth=(1, 2))]), depth=(1, 2)))


def shared_depth() -> nn.Module:
    depth = ValueChoice([1, 3])
    return nn.Sequential(Repeat(nn.Linear(4, 4), depth=depth), Repeat(lambda i: choice(), depth=depth))


def depth_inside_its_blocks() -> nn.Module:
    depth = ValueChoice([1, 2, 3], key="depth")
    return nn.Sequential(
        Repeat(lambda i: nn.Sequential(Dropout(depth * 0.1), Repeat(lambda j: choice(), depth=depth)), depth=depth)
    )


def copies_with_a_key() -> nn.Module:
    return nn.Sequential(Repeat(choice(3, key="op"), depth=(1, 3)))


def one_block_three_times() -> nn.Module:
    return nn.Sequential(Repeat([nn.Sequential(choice(), nn.Tanh())] * 3, depth=(0, 3), key="depth"))


CASES: dict[str, tuple[Make, int]] = {
    "nested": (nested, sum((1 + 2 + 4) ** depth for depth in (1, 2, 3))),
    "inside a candidate": (inside_a_candidate, 1 + (2 + 4) + (3)),
    "candidates inside": (candidates_inside, sum((2 + 2 + 4) ** depth for depth in (1, 2))),
    "shared depth": (shared_depth, 2**1 + 2**3),
    "depth inside its blocks": (depth_inside_its_blocks, 2**1 + 2**4 + 2**9),
    "copies with a key": (copies_with_a_key, 3 * 3),
    "one block three times": (one_block_three_times, 1 + 3 * 2),
}


@pytest.mark.parametrize("name", CASES)
def test_the_size_is_the_closed_form(name: str) -> None:
    make, size = CASES[name]
    space = generate_search_space(make())
    assert space.size == size
    assert len({architecture.digest for architecture in space.enumerate()}) == size


@pytest.mark.parametrize("name", [name for name, (_, size) in CASES.items() if size < 400])
def test_every_architecture_is_frozen_to_what_the_supernet_computes(name: str) -> None:
    check_frozen(CASES[name][0])


def test_a_depth_inside_itself_adds_to_its_conditions() -> None:
    found = whens(depth_inside_its_blocks())
    for outer in range(3):
        for inner in range(3):
            deepest = max(outer, inner)
            expected = {"depth": tuple(range(deepest, 3))} if deepest else {}
            assert found[f"0.blocks.{outer}.1.blocks.{inner}"] == expected
    assert found["depth"] == {}


def test_conditions_name_every_ancestor() -> None:
    assert whens(nested())["0.blocks.2.blocks.1"] == {"0.depth": (2,), "0.blocks.2.depth": (2,)}
    assert whens(inside_a_candidate())["0.candidates.1.0.blocks.1.0"] == {"op": (1,), "depth": (1,)}


def test_keys_are_paths_or_the_depths_own() -> None:
    assert [place.key for place in choice_places(nested())][:4] == [
        "0.depth",
        "0.blocks.0.depth",
        "0.blocks.0.blocks.0",
        "0.blocks.0.blocks.1",
    ]
    assert next(place.key for place in find_mutables(shared_depth())) == "0.depth"
    net = nn.Sequential(Repeat(nn.ReLU(), depth=(1, 2), key="d"), Repeat(nn.ReLU(), depth=(1, 2), key="d"))
    assert generate_search_space(net).to_dict() == {"d": {"_type": "choice", "_value": [1, 2]}}


def test_equal_keys_with_other_depths_are_refused() -> None:
    net = nn.Sequential(Repeat(nn.ReLU(), depth=(1, 2), key="d"), Repeat(nn.ReLU(), depth=(1, 3), key="d"))
    with pytest.raises(ModelError, match="'d' is used twice with different candidates"):
        generate_search_space(net)


def test_one_depth_under_two_unrelated_choices_is_refused() -> None:
    depth = ValueChoice([1, 2], key="depth")
    blocks = [LayerChoice([Repeat(nn.ReLU(), depth=depth), nn.Tanh()], key=key) for key in ("a", "b")]
    with pytest.raises(ModelError, match="'depth' is used under conditions that have nothing to do with each other"):
        generate_search_space(nn.Sequential(*blocks))


def test_copies_of_one_block_start_alike_and_decide_for_themselves() -> None:
    block = nn.Sequential(nn.Linear(4, 4), LayerChoice([nn.ReLU(), nn.Tanh()]))
    repeat = Repeat(block, depth=(1, 3), key="depth")
    assert repeat.blocks[0] is block
    assert len({id(each) for each in repeat.blocks}) == 3
    assert all(torch.equal(each[0].weight, block[0].weight) for each in repeat.blocks)
    assert list(generate_search_space(repeat)) == ["depth", *(f"blocks.{number}.1" for number in range(3))]
    repeat.blocks[1][0].weight.data.zero_()
    assert block[0].weight.any()


def test_a_factory_is_told_the_number_and_makes_no_more_than_needed() -> None:
    made: list[int] = []
    Repeat(lambda index: made.append(index) or nn.Identity(), depth=(1, 3))
    assert made == [0, 1, 2]


def test_a_depth_may_be_used_elsewhere() -> None:
    depth = ValueChoice([1, 2], key="depth")
    net = nn.Sequential(Linear(4, depth * 2), Linear(depth * 2, 4), Repeat(nn.Linear(4, 4), depth=depth))
    plain = freeze(net, {"depth": 2})
    assert (plain[0].out_features, len(plain[2].blocks)) == (4, 2)
    plain = freeze(net, {"depth": 1})
    assert (plain[0].out_features, len(plain[2].blocks)) == (2, 1)


def test_further_arguments_go_to_every_block() -> None:
    class Shift(nn.Module):
        def forward(self, x: Tensor, by: float, *, times: float = 1) -> Tensor:
            return x + by * times

    net = Repeat(Shift(), depth=(1, 3), key="depth")
    RandomMutator(net).apply_architecture({"depth": 3})
    for model in (net, freeze(net, {"depth": 3})):
        assert model(torch.zeros(1), 2, times=5).item() == 30


def test_the_weights_of_a_block_hang_on_the_depths_that_reach_it() -> None:
    net = nn.Sequential(Repeat(lambda index: nn.Linear(1, 1, bias=False), depth=(1, 3), key="d"), nn.Linear(1, 1, bias=False))
    assert state_owners(net) == {
        "0.blocks.0.weight": (),
        "0.blocks.1.weight": (("d", (1, 2)),),
        "0.blocks.2.weight": (("d", (2,)),),
        "1.weight": (),
    }
    assert state_owners(nested())["0.blocks.2.blocks.1.candidates.0.bias"][-1] == ("0.blocks.2.blocks.1", (0,))
    assert set(state_owners(one_block_three_times()).values()) >= {(("0.blocks.0.0", (0,)),)}


@pytest.mark.parametrize("training", [True, False])
def test_names_and_mode_stay(training: bool) -> None:
    net = nn.Sequential(Repeat(lambda index: nn.Sequential(nn.Linear(4, 4, bias=False)), depth=(1, 3), key="d")).train(training)
    plain = freeze(net, {"d": 2})
    assert list(plain.state_dict()) == ["0.blocks.0.0.weight", "0.blocks.1.0.weight"]
    assert {module.training for module in plain.modules()} == {training}


def test_a_frozen_one_compiles_and_exports() -> None:
    net = nested().eval()
    architecture = next(each for each in generate_search_space(net).enumerate() if len(each) == 1 + 2 + 3)  # 2 blocks, 3 in all
    plain = freeze(net, architecture)
    expected = plain(X)
    assert torch.equal(torch.compile(plain, backend="aot_eager", fullgraph=True)(X), expected)
    exported = torch.export.export(plain, (X,))
    assert torch.equal(exported.module()(X), expected)
    assert set(exported.state_dict) == set(plain.state_dict())


def test_without_a_mutator_it_says_what_to_do() -> None:
    with pytest.raises(MutatorError, match="ValueChoice depth has no mutator"):
        Repeat(nn.ReLU(), depth=(1, 2), key="depth")(X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((nn.ReLU(), (2, 1)), "expected integers from 0, the smaller first"),
        ((nn.ReLU(), (-1, 1)), "expected integers from 0"),
        ((nn.ReLU(), ValueChoice([1, 2.0])), "expected integers from 0"),
        ((nn.ReLU(), ValueChoice(["a"])), "expected integers from 0"),
        ((nn.ReLU(), (True, 2)), r"expected \(smallest, largest\) or a ValueChoice"),
        ((nn.ReLU(), (1, 2, 3)), r"expected \(smallest, largest\)"),
        ((nn.ReLU(), 3), r"expected \(smallest, largest\)"),
        ((nn.ReLU(), "12"), r"expected \(smallest, largest\)"),
        ((nn.ReLU(), ValueChoice([1, 2]) * 2), r"expected \(smallest, largest\)"),
        (([nn.ReLU()], (1, 2)), "found 1 blocks; expected 2, the largest depth"),
        (([nn.ReLU()] * 3, (1, 2)), "found 3 blocks; expected 2"),
        ((nn.ModuleList([nn.ReLU()]), (1, 2)), "found 1 blocks"),
        (([nn.ReLU(), None], (1, 2)), "all of them modules"),
        ((lambda index: index, (1, 2)), "all of them modules"),
        ((3, (1, 2)), "found 3; expected a module, a list of modules"),
        ((None, (1, 2)), "found None; expected a module"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ModelError, match=f"Repeat.*{message}"):
        Repeat(*arguments)


def test_a_key_beside_a_value_choice_is_refused() -> None:
    with pytest.raises(ModelError, match="Repeat d: the depth is a value choice, which has a key of its own; leave key out"):
        Repeat(nn.ReLU(), depth=ValueChoice([1, 2]), key="d")
