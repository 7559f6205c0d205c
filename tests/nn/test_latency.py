import pytest
import torch
from torch import nn

from raynas.errors import ArchitectureError, OptionError
from raynas.nn import LayerChoice, measure_latency


class Slow(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(200):
            x = x @ x
        return x


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(LayerChoice({"slow": Slow(), "same": nn.Identity()}, key="op"))


def test_what_takes_longer_has_the_larger_figure(net: nn.Module) -> None:
    x = torch.eye(64)
    slow, same = (measure_latency(net, {"op": {"_value": name}}, x, repeats=20) for name in ("slow", "same"))
    assert slow.median > same.median > 0
    assert slow.low <= slow.median <= slow.high
    assert slow.repeats == 20


def test_passes_are_counted_in_eval_mode_without_gradients(net: nn.Module) -> None:
    modes = []

    class Watched(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            modes.append((self.training, torch.is_grad_enabled()))
            return super().forward(x)

    net = nn.Sequential(LayerChoice([Watched(2, 2)], key="op")).train()
    measure_latency(net, {"op": {"_idx": 0}}, (torch.zeros(1, 2),), warmup=2, repeats=1)
    assert modes == [(False, False)] * 3
    assert net.training


@pytest.mark.parametrize("options", [{"repeats": 0}, {"warmup": -1}])
def test_wrong_counts_are_refused(net: nn.Module, options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="expected at least"):
        measure_latency(net, {"op": {"_idx": 0}}, torch.eye(2), **options)


def test_a_wrong_architecture_is_refused(net: nn.Module) -> None:
    with pytest.raises(ArchitectureError, match="'op'"):
        measure_latency(net, {"op": {"_value": "fast"}}, torch.eye(2))


def test_a_device_that_does_not_exist_is_refused(net: nn.Module) -> None:
    with pytest.raises(OptionError, match="device is 'abacus'; expected one of PyTorch's"):
        measure_latency(net, {"op": {"_idx": 0}}, torch.eye(2), "abacus")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there_is_refused(net: nn.Module) -> None:
    with pytest.raises(OptionError, match="sees no GPU"):
        measure_latency(net, {"op": {"_idx": 0}}, torch.eye(2), "cuda")
