"""NAS-Bench-Macro: its costs against the benchmark's table, and its blocks against their definition."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from raynas.errors import ModelError
from raynas.nn import Profiler, freeze, generate_search_space
from raynas.zoo import NasBenchMacro
from raynas.zoo.nas_bench_macro import InvertedResidual, operators

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(os.environ.get("RAYNAS_DATA", ROOT.parent / "shared" / "data")) / "nas_bench_macro.parquet"
LAYERS = [f"layer{number}" for number in range(1, 9)]


@pytest.fixture
def profiler() -> Profiler:
    with torch.device("meta"):
        return Profiler(NasBenchMacro(), torch.zeros(1, 3, 32, 32))


def costs(profiler: Profiler, digits: str) -> tuple[int, int]:
    found = profiler.profile(NasBenchMacro.architecture_of(digits))
    return found.params, found.flops // 2  # the table counts a multiply-add as one


@pytest.mark.data
@pytest.mark.skipif(not TABLE.is_file(), reason=f"{TABLE} is absent; say where it is with RAYNAS_DATA")
def test_params_and_flops_are_those_of_the_table(profiler: Profiler) -> None:
    table = pq.read_table(TABLE, columns=["arch", "params", "flops"]).to_pydict()
    expected = dict(zip(table["arch"], zip(table["params"], table["flops"], strict=True), strict=True))
    assert len(expected) == generate_search_space(NasBenchMacro(stage_channels=(2, 2, 2), head_channels=2)).size
    # A layer costs the same whatever the others are: 17 profiles say what all 6,561 cost, and some more check it.
    base = costs(profiler, "0" * 8)
    extra = {
        (place, digit): [one - none for one, none in zip(costs(profiler, alone(place, digit)), base, strict=True)]
        for place in range(8)
        for digit in "12"
    }
    for digits, known in expected.items():
        parts = [extra[place, digit] for place, digit in enumerate(digits) if digit != "0"]
        assert tuple(map(sum, zip(base, *parts, strict=True))) == known, digits
    for digits in ("22222222", "11111111", "22212202", "12012021"):
        assert costs(profiler, digits) == expected[digits]


def alone(place: int, digit: str) -> str:
    return "0" * place + digit + "0" * (7 - place)


def test_digits_name_an_architecture() -> None:
    space = generate_search_space(NasBenchMacro(stage_channels=(2, 2, 2), head_channels=2))
    assert list(space) == LAYERS
    assert {space[key].candidates for key in space} == {("identity", "expand3_kernel3", "expand6_kernel5")}
    assert NasBenchMacro.architecture_of("01200012") == {
        key: {"_idx": index} for key, index in zip(LAYERS, (0, 1, 2, 0, 0, 0, 1, 2), strict=True)
    }


@pytest.mark.parametrize("digits", ["0000000", "000000000", "00000003", "0000000x", ""])
def test_other_strings_are_refused(digits: str) -> None:
    with pytest.raises(ModelError, match="expected 8 digits from 0 to 2"):
        NasBenchMacro.architecture_of(digits)


def test_each_stage_has_its_depth() -> None:
    with pytest.raises(ModelError, match="stage_channels has 2 entries, depths 3"):
        NasBenchMacro(stage_channels=(4, 8))
    net = NasBenchMacro(2, (4, 8), 8, depths=(1, 2), stem_channels=4, in_channels=1)
    assert generate_search_space(net).size == 3**3
    plain = freeze(net, {key: {"_idx": 0} for key in LAYERS[:3]})
    assert plain(torch.zeros(2, 1, 8, 8)).shape == (2, 2)


def test_the_identity_changes_only_what_it_must() -> None:
    assert isinstance(operators(4, 4, 1)["identity"], nn.Identity)
    assert operators(4, 8, 2)["identity"](torch.zeros(2, 4, 8, 8)).shape == (2, 8, 4, 4)


def test_a_block_adds_its_input_where_the_shape_is_the_same() -> None:
    x = torch.randn(2, 4, 8, 8)
    for outputs, stride in ((4, 1), (8, 1), (4, 2)):
        block = InvertedResidual(4, outputs, stride, expansion=3, kernel=3)
        nn.init.zeros_(block.convs[2][1].weight)
        output = block(x)
        assert output.shape == (2, outputs, 8 // stride, 8 // stride)
        assert torch.equal(output, x) if (outputs, stride) == (4, 1) else not output.any()
