"""``Cell``: nodes that choose their inputs and operators."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ModelError, MutatorError
from raynas.mutators import Mutator, RandomMutator
from raynas.nn import (
    Cell,
    LayerChoice,
    Linear,
    Mutable,
    ValueChoice,
    choice_places,
    find_mutables,
    freeze,
    generate_search_space,
)

OPS = {
    "skip": lambda node, source: nn.Identity(),
    "linear": lambda node, source: nn.Linear(3, 3),
    "norm": lambda node, source: nn.BatchNorm1d(3),
}


def cell(nodes: int = 3, ops: int = 1, predecessors: int = 2, merge: Any = "all", key: str | None = "cell") -> Cell:
    return Cell(OPS, nodes, ops, predecessors, merge, key=key)


def inputs(number: int) -> list[Tensor]:
    return [torch.randn(4, 3) for _ in range(number)]


def by_hand(net: Cell, architecture: Any, states: list[Tensor], key: str = "cell") -> Tensor:
    """The cell by its definition, from the architecture's indices alone."""
    states, first, used = list(states), len(states), set()
    for number, node in enumerate(net.nodes):
        sources = architecture[f"{key}.node{number}.inputs"]["_idx"]
        total = torch.zeros(())
        for slot, source in enumerate(sources):
            op = architecture[f"{key}.node{number}.op{slot}"]["_idx"]
            total = total + node.ops[slot].candidates[op].by_input[str(source)](states[source])
        states.append(total)
        used |= set(sources)
    merged = [state for index, state in enumerate(states) if index >= first and (net.merge_op == "all" or index not in used)]
    return torch.cat(merged, dim=1)


@pytest.mark.parametrize(("nodes", "ops", "predecessors"), [(1, 1, 1), (3, 1, 1), (2, 2, 2), (3, 2, 2), (2, 1, 3), (2, 3, 4)])
def test_the_size_is_the_closed_form_of_the_docstring(nodes: int, ops: int, predecessors: int) -> None:
    space = generate_search_space(cell(nodes, ops, predecessors))
    expected = math.prod(math.comb(predecessors + node, ops) * 3**ops for node in range(nodes))
    assert space.size == expected
    if expected < 1000:
        assert len({architecture.digest for architecture in space.enumerate()}) == expected


def test_the_size_of_darts_is_that_of_the_paper() -> None:
    ops = [lambda node, source: nn.Identity()] * 7
    assert generate_search_space(Cell(ops, 4, 2, 2, key="cell")).size == math.prod(math.comb(2 + n, 2) * 7**2 for n in range(4))


@pytest.mark.parametrize("merge", ["all", "loose_end"])
@pytest.mark.parametrize(("nodes", "ops", "predecessors"), [(2, 1, 1), (3, 2, 2)])
def test_it_computes_what_its_definition_says_and_so_does_the_frozen_one(
    nodes: int, ops: int, predecessors: int, merge: str
) -> None:
    torch.manual_seed(0)
    net = cell(nodes, ops, predecessors, merge).eval()
    mutator = RandomMutator(net)
    states = inputs(predecessors)
    for _ in range(30):
        architecture = mutator.sample_architecture()
        mutator.apply_architecture(architecture)
        plain = freeze(net, architecture)
        torch.testing.assert_close(net(*states), by_hand(net, architecture, states))
        assert torch.equal(plain(*states), net(*states))
        assert torch.equal(plain(states), net(tuple(states)))
        assert not any(isinstance(module, Mutable) for module in plain.modules())
        assert not any(module.training for module in plain.modules())


def test_loose_ends_are_the_nodes_that_none_reads() -> None:
    net = cell(nodes=3, ops=1, predecessors=1, merge="loose_end")
    mutator = RandomMutator(net)
    for sources, loose in [((0, 0, 0), 3), ((0, 1, 2), 1), ((0, 1, 1), 2), ((0, 0, 1), 2)]:
        architecture: dict[str, Any] = {f"cell.node{number}.op0": {"_idx": 0} for number in range(3)}
        architecture |= {f"cell.node{number}.inputs": {"_idx": [source]} for number, source in enumerate(sources)}
        mutator.apply_architecture(architecture)
        x = inputs(1)[0]
        assert net(x).shape == (4, 3 * loose)
        assert freeze(net, architecture)(x).shape == (4, 3 * loose)


def test_a_candidate_is_made_for_each_input_it_may_read_and_no_other() -> None:
    made: list[tuple[int, int]] = []

    def make(node: int, source: int) -> nn.Module:
        made.append((node, source))
        return nn.Identity()

    Cell([make], num_nodes=2, num_ops_per_node=2, num_predecessors=2, key="cell")
    assert made == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (1, 1),
        (1, 2),
    ]  # the first operator reads the first pick: never the last input


def test_only_what_reads_is_left_and_its_weights_are_the_supernets() -> None:
    net = cell(nodes=2, ops=2)
    architecture = {f"cell.node{node}.op{slot}": {"_value": "linear"} for node in (0, 1) for slot in (0, 1)}
    architecture |= {"cell.node0.inputs": {"_idx": [0, 1]}, "cell.node1.inputs": {"_idx": [1, 2]}}
    plain = freeze(net, architecture)
    assert [name for name, _ in plain.named_parameters() if name.endswith("weight")] == [
        f"nodes.{node}.{slot}.weight" for node in (0, 1) for slot in (0, 1)
    ]
    assert torch.equal(plain.nodes[1][0].weight, net.nodes[1].ops[0].candidates[1].by_input["1"].weight)
    assert plain.nodes[1][0].weight is not net.nodes[1].ops[0].candidates[1].by_input["1"].weight


def test_cells_with_one_key_share_all_decisions_and_no_weights() -> None:
    net = nn.ModuleList([cell(2, 1, 1), nn.Sequential(cell(2, 1, 1))])
    space = generate_search_space(net)
    assert list(space) == [f"cell.node{node}.{part}" for node in (0, 1) for part in ("inputs", "op0")]
    mutator = RandomMutator(net.eval())
    x = inputs(1)
    for architecture in space.enumerate():
        mutator.apply_architecture(architecture)
        for one in (net[0], net[1][0]):
            torch.testing.assert_close(one(*x), by_hand(one, architecture, x))


def test_cells_without_a_key_decide_for_themselves() -> None:
    net = nn.Sequential(cell(1, 1, 1, key=None), cell(1, 1, 1, key=None))
    assert [place.key for place in find_mutables(net)] == ["0", "0.nodes.0.inputs", "0.nodes.0.ops.0",
                                                           "1", "1.nodes.0.inputs", "1.nodes.0.ops.0"]  # fmt: skip
    assert generate_search_space(net).size == 9


def test_choices_inside_a_candidate_are_active_with_it() -> None:
    ops = {
        "plain": lambda node, source: nn.Identity(),
        "deep": lambda node, source: LayerChoice([nn.Linear(3, 3), nn.Tanh()]),
    }
    net = nn.Sequential(Cell(ops, num_nodes=2, key="cell"))
    space = generate_search_space(net)
    assert space.size == 1 * (1 + 2) * 2 * (1 + 2 * 2)  # a node of two inputs has a choice inside for each of them
    assert {tuple(space[place.key].when) for place in choice_places(net)} == {(), ("cell.node0.op0",), ("cell.node1.op0",)}
    mutator = RandomMutator(net)
    x = inputs(1)[0]
    for architecture in space.enumerate():
        mutator.apply_architecture(architecture)
        assert torch.equal(freeze(net, architecture)(x), net(x))


def test_sliced_layers_inside_are_small_after_freezing() -> None:
    hidden = ValueChoice([2, 5], key="hidden")
    ops = [lambda node, source: nn.Sequential(Linear(3, hidden), Linear(hidden, 3)), lambda node, source: nn.Identity()]
    net = Cell(ops, num_nodes=1, num_predecessors=2, key="cell")
    space = generate_search_space(net)
    for architecture in space.enumerate():
        plain = freeze(net, architecture)
        if "hidden" in architecture:
            shapes = {tuple(tensor.shape) for name, tensor in plain.named_parameters() if name.endswith("0.weight")}
            assert shapes == {(architecture["hidden"]["_value"], 3)}
    assert space.size == 2 * (2 + 1)


def test_a_frozen_cell_compiles_and_exports() -> None:
    torch.manual_seed(0)
    net = cell(3, 2, 2, "loose_end").eval()
    plain = freeze(net, RandomMutator(net, seed=4).sample_architecture())
    states = tuple(inputs(2))
    assert torch.equal(torch.compile(plain, backend="aot_eager", fullgraph=True)(*states), plain(*states))
    exported = torch.export.export(plain, states)
    assert torch.equal(exported.module()(*states), plain(*states))
    assert set(exported.state_dict) == set(plain.state_dict())


def test_a_mutator_is_told_when_the_cell_is_entered_and_left() -> None:
    told: list[tuple[str, str | None]] = []

    class Telling(RandomMutator):
        def enter_mutable_scope(self, scope: Any) -> None:
            told.append(("enter", scope.key))

        def exit_mutable_scope(self, scope: Any) -> None:
            told.append(("exit", scope.key))

    net = cell(1, 1, 1)
    Telling(net).reset()
    net(*inputs(1))
    assert told == [("enter", "cell"), ("exit", "cell")]


def test_another_number_of_picks_than_a_node_has_operators_is_refused() -> None:
    net = cell(1, 1, 2)
    mutator = Mutator(net)
    picks = torch.tensor([True, True])
    mutator.apply_on_model({"cell.node0.inputs": picks, "cell.node0.op0": torch.tensor([True, False, False])})
    with pytest.raises(ModelError, match=r"key 'cell\.node0\.inputs': 2 inputs are picked; expected 1"):
        net(*inputs(2))


@pytest.mark.parametrize("number", [1, 3])
def test_another_number_of_inputs_is_refused(number: int) -> None:
    net = cell(1, 1, 2)
    RandomMutator(net).reset()
    with pytest.raises(ModelError, match=f"Cell 'cell': found {number} inputs; expected 2"):
        net(*inputs(number))


def test_without_a_mutator_it_says_what_to_do() -> None:
    with pytest.raises(MutatorError, match=r"cell\.node0\.inputs has no mutator"):
        cell(1, 1, 1)(*inputs(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nodes": 0}, "0 nodes"),
        ({"ops": 0}, "0 operators a node"),
        ({"ops": 3}, "3 operators a node, 2 predecessors"),
        ({"predecessors": 0}, "0 predecessors; expected at least one node, and as many predecessors as operators"),
        ({"merge": "some"}, "merge_op is 'some'; expected 'all' or 'loose_end'"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=f"Cell cell: .*{message}"):
        cell(**arguments)


@pytest.mark.parametrize("ops", [{}, [], [lambda node, source: 3]])
def test_candidates_that_are_no_modules_are_refused(ops: Any) -> None:
    with pytest.raises((ModelError, TypeError), match=r"expected at least one module|is not a Module"):
        Cell(ops, num_nodes=1, key="cell")


@pytest.mark.parametrize("ops", ["ab", [nn.Identity()], {"skip": nn.Identity()}])
def test_candidates_are_made_by_functions(ops: Any) -> None:
    with pytest.raises(ModelError, match=r"Cell cell: found .*expected functions that make a candidate"):
        Cell(ops, num_nodes=1, key="cell")
