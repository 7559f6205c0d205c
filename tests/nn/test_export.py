"""A frozen model is an ordinary one: the tools of PyTorch take it."""

import random
import subprocess
import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from raynas.nn import Conv2d, LayerChoice, Repeat, ValueChoice, freeze, generate_search_space


class Elastic(nn.Module):
    """Width, kernel, depth and an operator that vary; the width is asked for in ``forward`` too."""

    def __init__(self) -> None:
        super().__init__()
        self.width = ValueChoice([4, 8], key="width")
        kernel = ValueChoice([1, 3], key="kernel")
        self.stem = Conv2d(1, self.width, kernel, padding=kernel // 2)
        self.body = Repeat(lambda index: Conv2d(self.width, self.width, 3, padding=1), depth=(0, 2), key="depth")
        self.op = LayerChoice([nn.ReLU(), nn.Tanh()], key="op")

    def forward(self, x: Tensor) -> Tensor:
        return self.op(self.body(self.stem(x))).mean((2, 3)) * self.width()


ARCHITECTURE = {"width": 4, "kernel": 3, "depth": 2, "op": {"_idx": 1}}


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # onnxscript's use of torch
@pytest.mark.parametrize("which", ["example", "elastic"])
def test_onnx_computes_the_same(which: str, example: ModuleType) -> None:
    from onnx.reference import ReferenceEvaluator

    supernet = example.Net() if which == "example" else Elastic()
    space = generate_search_space(supernet)
    plain = freeze(supernet, space.sample(random.Random(1)) if which == "example" else ARCHITECTURE).eval()
    x = torch.randn(1, 1, 8, 8)
    exported = torch.onnx.export(plain, (x,), dynamo=True, verbose=False)
    assert exported is not None
    graph = exported.model_proto.graph
    (output,) = ReferenceEvaluator(exported.model_proto).run(None, {graph.input[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(output), plain(x).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.nightly
def test_inductor_computes_the_same() -> None:
    # In a process of its own: inductor leaves threads behind.
    result = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr


if __name__ == "__main__":
    plain = freeze(Elastic(), ARCHITECTURE).eval()
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(torch.compile(plain, fullgraph=True)(x), plain(x), rtol=1e-5, atol=1e-5)
