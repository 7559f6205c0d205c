"""The blocks that spaces share keep or halve sizes, and the network of cells is wired as in NASNet."""

import pytest
import torch
from torch import Tensor, nn

from raynas.nn import Cell
from raynas.zoo.blocks import (
    CellNetwork,
    FactorizedReduction,
    average_pool,
    classifier,
    identity,
    max_pool,
    relu_conv_norm,
    separable_conv,
    strided,
    twice_separable_conv,
)


class Halve(nn.Module):
    """A cell without choices: the sum of its inputs, once or twice, halved in size or not."""

    def __init__(self, channels: int, reduces: bool) -> None:
        super().__init__()
        self.channels, self.stride = channels, 2 if reduces else 1

    def forward(self, far: Tensor, near: Tensor) -> Tensor:
        assert far.shape == near.shape
        assert far.shape[1] == self.channels
        return torch.cat([(far + near)[..., :: self.stride, :: self.stride]] * 2, dim=1)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [8, 7])
def test_operators_keep_or_halve_the_size(stride: int, size: int) -> None:
    operators = [
        relu_conv_norm(4, 4, 5, stride),
        relu_conv_norm(4, 4, 3, stride, dilation=2),
        separable_conv(4, 4, 3, stride),
        separable_conv(4, 4, 5, stride, dilation=2),
        twice_separable_conv(4, 5, stride),
        max_pool(stride),
        average_pool(stride),
        identity(4, stride),
    ]
    side = -(-size // stride)
    assert {operator(torch.randn(2, 4, size, size)).shape for operator in operators} == {(2, 4, side, side)}


def test_the_margin_does_not_count_in_the_mean() -> None:
    ones = torch.ones(1, 1, 4, 4)
    assert torch.equal(average_pool()(ones), ones)


def test_a_separable_conv_has_few_weights() -> None:
    assert sum(weight.numel() for weight in separable_conv(4, 6, 3, affine=False).parameters()) == 4 * 9 + 4 * 6
    assert sum(weight.numel() for weight in twice_separable_conv(4, 5).parameters()) == 2 * (4 * 25 + 4 * 4 + 2 * 4)


def test_a_factorized_reduction_loses_no_place() -> None:
    reduction = FactorizedReduction(1, 2).eval()
    for conv in (reduction.even, reduction.odd):
        nn.init.ones_(conv.weight)
    x = torch.arange(1.0, 17).view(1, 1, 4, 4)
    even, odd = reduction(x)[0] * (1 + reduction.norm.eps) ** 0.5
    torch.testing.assert_close(even, x[0, 0, ::2, ::2])
    torch.testing.assert_close(odd, x[0, 0, 1::2, 1::2])
    assert not reduction(-x).any()  # ReLU comes first


@pytest.mark.parametrize("size", [1, 3, 4])
@pytest.mark.parametrize("channels", [2, 3])
def test_a_factorized_reduction_takes_any_size(size: int, channels: int) -> None:
    half = (size + 1) // 2
    assert FactorizedReduction(2, channels)(torch.randn(2, 2, size, size)).shape == (2, channels, half, half)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # onnxscript's use of torch
@pytest.mark.parametrize("size", [3, 4])
def test_a_factorized_reduction_is_exported_to_onnx(size: int) -> None:
    from onnx.reference import ReferenceEvaluator

    reduction, x = FactorizedReduction(2, 4).eval(), torch.randn(1, 2, size, size)
    exported = torch.onnx.export(reduction, (x,), dynamo=True, verbose=False)
    assert exported is not None
    graph = exported.model_proto.graph
    (output,) = ReferenceEvaluator(exported.model_proto).run(None, {graph.input[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(output), reduction(x).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("reduces", "expected"), [(False, [1, 1, 1, 1]), (True, [2, 2, 1, 1])])
def test_only_the_inputs_of_a_reduction_cell_are_read_with_a_stride(reduces: bool, expected: list[int]) -> None:
    factory = strided({"pool": max_pool}, reduces=reduces)["pool"]
    assert [factory(0, source).stride for source in range(4)] == expected


def test_each_cell_reads_the_two_before_it() -> None:
    reductions = [False, True, True, False]

    def make_cell(channels: int, reduces: bool) -> Cell:
        return Halve(channels, reduces)  # type: ignore[return-value]

    network = CellNetwork(make_cell, reductions, 4, widths=(3, 12, 2, 5), affine=False)
    seen: list[tuple[int, ...]] = []
    for cell in network.cells:
        cell.register_forward_hook(lambda _cell, _inputs, output: seen.append(tuple(output.shape)))
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 5)
    assert seen == [(2, 8, 8, 8), (2, 16, 4, 4), (2, 32, 2, 2), (2, 32, 2, 2)]
    halved = [isinstance(far, FactorizedReduction) for far, _ in network.inputs]  # type: ignore[misc]
    assert halved == [False, False, True, True]
    norms = [module for inputs in network.inputs for module in inputs.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 8
    assert not any(norm.affine for norm in norms)


def test_the_classifier_takes_the_mean() -> None:
    head = classifier(2, 3)
    x = torch.randn(4, 2, 5, 6)
    torch.testing.assert_close(head(x), head[2](x.mean((2, 3))))
