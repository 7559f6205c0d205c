"""NAS-Bench-201: its cell against the definition, and its costs against the benchmark's figures."""

import torch

from raynas.nn import Profiler, freeze, generate_search_space
from raynas.zoo import NasBench201
from raynas.zoo.nas_bench_201 import DenseCell

EDGES = ["edge0-1", "edge0-2", "edge1-2", "edge0-3", "edge1-3", "edge2-3"]


def architecture(*operators: str) -> dict[str, dict[str, str]]:
    """One operator for all edges, or one for each."""
    chosen = operators * 6 if len(operators) == 1 else operators
    return {edge: {"_value": operator} for edge, operator in zip(EDGES, chosen, strict=True)}


def test_all_cells_share_six_choices() -> None:
    for num_cells in (1, 3):
        assert list(generate_search_space(NasBench201(channels=2, num_cells=num_cells))) == EDGES


def test_a_node_is_the_sum_of_its_edges() -> None:
    x = torch.randn(2, 4, 5, 5)
    plain = freeze(DenseCell(4), architecture("skip_connect"))
    torch.testing.assert_close(plain(x), 4 * x)  # node 1 is x, node 2 is 2x, node 3 is x + x + 2x
    only_last = freeze(DenseCell(4), architecture("none", "skip_connect", "none", "none", "none", "avg_pool_3x3"))
    torch.testing.assert_close(only_last(torch.ones_like(x)), torch.ones_like(x))
    assert not freeze(DenseCell(4), architecture("none"))(x).any()


def test_a_cell_of_none_cuts_the_head_off_from_the_image() -> None:
    plain = freeze(NasBench201(channels=2, num_cells=1), architecture("none")).eval()
    one, other = plain(torch.randn(2, 2, 3, 8, 8).flatten(0, 1)).split(2)
    assert torch.equal(one, other)
    one.sum().backward()
    learning = {name.partition(".")[0] for name, weight in plain.named_parameters() if weight.grad is not None}
    assert learning == {"head"}


def test_costs_are_those_of_the_benchmark() -> None:
    with torch.device("meta"):
        profiler = Profiler(NasBench201(), torch.zeros(1, 3, 32, 32))
    # The least and the most in the benchmark's table, for 10 classes: a multiply-add is one operation there, and so is each
    # addition of the classifier's bias.
    for operator, params, flops in (("none", 73_306, 7_783_050), ("nor_conv_3x3", 1_531_546, 220_119_690)):
        found = profiler.profile(architecture(operator))
        assert (found.params, found.flops // 2 + 10) == (params, flops)


def test_the_channels_of_the_image_and_the_classes_are_free() -> None:
    plain = freeze(NasBench201(3, channels=2, num_cells=1, in_channels=1), architecture("avg_pool_3x3"))
    assert plain(torch.zeros(2, 1, 8, 8)).shape == (2, 3)
