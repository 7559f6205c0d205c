"""DARTS: where the network reduces, what its cells share, and what the operators are."""

import pytest
import torch
from torch import nn

from raynas.nn import Cell, generate_search_space
from raynas.zoo import Darts
from raynas.zoo.blocks import FactorizedReduction
from raynas.zoo.darts import operators


def strides(cell: nn.Module) -> set[int]:
    """Of the pooling operators, which have no other modules around them."""
    return {module.stride for module in cell.modules() if isinstance(module, nn.MaxPool2d)}


@pytest.mark.parametrize(("num_cells", "places"), [(3, [1, 2]), (8, [2, 5])])
def test_cells_at_thirds_reduce(num_cells: int, places: list[int]) -> None:
    with torch.device("meta"):
        cells = list(Darts(channels=2, num_cells=num_cells, num_nodes=1).cells)
    assert all(isinstance(cell, Cell) for cell in cells)
    assert [place for place, cell in enumerate(cells) if 2 in strides(cell)] == places
    assert [cell.key for cell in cells] == ["reduce" if place in places else "normal" for place in range(num_cells)]


def test_cells_of_one_design_share_all_choices() -> None:
    few, more = (generate_search_space(Darts(channels=2, num_cells=num_cells, num_nodes=2)) for num_cells in (3, 5))
    assert few == more
    parts = [f"node{node}.{part}" for node in range(2) for part in ("inputs", "op0", "op1")]
    assert sorted(few) == sorted(f"{design}.{part}" for design in ("normal", "reduce") for part in parts)
    assert [len(few[f"normal.node{node}.inputs"].candidates) for node in range(2)] == [2, 3]


def test_only_the_inputs_of_a_reduction_cell_are_halved() -> None:
    for name, make in operators(4, reduces=True, affine=True).items():
        sizes = [make(0, source)(torch.randn(2, 4, 8, 8)).shape[-1] for source in range(3)]
        assert sizes == [4, 4, 8], name
    made = operators(4, reduces=True, affine=True)["skip_connect"]
    assert [type(made(0, source)) for source in range(3)] == [FactorizedReduction, FactorizedReduction, nn.Identity]


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_has_weights_where_it_is_told_to(affine: bool) -> None:
    with torch.device("meta"):
        net = Darts(channels=2, num_cells=3, num_nodes=1, affine=affine)
    stem, *others = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert stem.affine
    assert {norm.affine for norm in others} == {affine}
