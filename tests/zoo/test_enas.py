"""ENAS: what a layer of the whole network adds, and where the network of cells reduces."""

import pytest
import torch
from torch import nn

from raynas.nn import freeze, generate_search_space
from raynas.zoo import EnasMacro, EnasMicro
from raynas.zoo.enas import MacroLayer, macro_operators, micro_operators

SOURCES = ["stem", "layer1", "layer2", "layer3"]


@pytest.mark.parametrize("picked", [[], [0], [0, 2], [0, 1, 2]])
def test_a_layer_adds_what_it_picks(picked: list[int]) -> None:
    layer = MacroLayer(2, 4)
    layer.norm = nn.Identity()
    plain = freeze(layer, {"layer4.op": {"_value": "conv_3x3"}, "layer4.skips": {"_idx": picked}}).eval()
    states = [torch.randn(2, 2, 4, 4) for _ in range(4)]
    own = layer.op["conv_3x3"].eval()(states[-1])
    torch.testing.assert_close(plain(states), sum((states[index] for index in picked), start=own))


def test_skips_begin_with_the_second_layer() -> None:
    space = generate_search_space(EnasMacro(channels=2, num_layers=5))
    skips = {key: list(space[key].candidates) for key in space if key.endswith(".skips")}
    assert skips == {f"layer{number}.skips": SOURCES[: number - 1] for number in range(2, 6)}
    assert all(space[key].n_chosen is None for key in skips)


@pytest.mark.parametrize(("num_layers", "places"), [(1, []), (2, ["1"]), (3, ["1", "2"]), (12, ["4", "8"])])
def test_all_states_are_halved_after_each_third(num_layers: int, places: list[str]) -> None:
    net = EnasMacro(channels=2, num_layers=num_layers)
    assert sorted(net.reductions) == places
    assert [len(net.reductions[place]) for place in places] == [int(place) + 1 for place in places]
    sizes: list[int] = []
    for layer in net.layers:
        layer.register_forward_hook(lambda _layer, _inputs, output: sizes.append(output.shape[-1]))
    plain = freeze(net, {key: {"_idx": list(range(len(domain.candidates))) if key.endswith("skips") else 0}
                         for key, domain in generate_search_space(net).items()})  # fmt: skip
    assert plain(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
    assert sizes == [8 // 2 ** sum(int(place) < number for place in places) for number in range(1, num_layers + 1)]


def test_operators_of_a_layer_keep_the_shape() -> None:
    x = torch.randn(2, 4, 8, 8)
    for operator in macro_operators(4).values():
        assert operator(x).shape == x.shape
        assert list(operator.parameters())


def test_operators_of_a_reduction_cell_halve_its_inputs() -> None:
    for name, make in micro_operators(4, reduces=True).items():
        assert [make(0, source)(torch.randn(2, 4, 8, 8)).shape[-1] for source in range(3)] == [4, 4, 8], name


@pytest.mark.parametrize("num_cells", [1, 2])
def test_each_block_ends_with_a_reduction_cell(num_cells: int) -> None:
    with torch.device("meta"):
        net = EnasMicro(channels=2, num_cells=num_cells, num_nodes=1)
    assert [cell.key for cell in net.cells] == [*["convolution"] * num_cells, "reduction"] * 3


def test_the_size_counts_ordered_picks_once() -> None:
    # One node: in the paper 2 * 2 states and 5 * 5 operators; here both states, one operator for each.
    assert generate_search_space(EnasMicro(channels=2, num_cells=1, num_nodes=1)).size == 25**2
