"""How a sliced layer is compared with torch's own layer of the sliced size, whose weights a test cuts by hand."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.mutators import RandomMutator
from raynas.nn import freeze

Places = Mapping[str, Any]  # by the name of a weight: which part of the whole one is the plain layer's


@pytest.fixture
def compare() -> Callable[..., None]:
    """Compare outputs, gradients, buffers, and the frozen layer, in training and in evaluation mode.

    Called with the sliced layer, an architecture, torch's layer, the places, and what both are called with.
    """
    return _compare


def _compare(layer: nn.Module, architecture: Any, plain: nn.Module, places: Places, *inputs: Tensor, **options: Any) -> None:
    torch.manual_seed(0)
    layer.double()
    plain.double()
    whole, own = _tensors(layer), _tensors(plain)
    _randomise(whole)
    assert whole.keys() == own.keys() == places.keys()
    for name, place in places.items():
        assert own[name].shape == whole[name][place].shape, name
        own[name].data.copy_(whole[name].data[place])
    RandomMutator(layer).apply_architecture(architecture)
    for training in (True, False):
        layer.train(training)
        plain.train(training)
        _compare_calls(layer, plain, places, inputs, options)
    _compare_frozen(freeze(layer, architecture), layer, plain, inputs, options)


def _compare_calls(layer: nn.Module, plain: nn.Module, places: Places, inputs: tuple[Tensor, ...], options: Any) -> None:
    before = {name: tensor.detach().clone() for name, tensor in _tensors(layer).items()}
    found, found_inputs = _call(layer, inputs, options)
    expected, expected_inputs = _call(plain, inputs, options)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        _check_close(one, other, "output")
        if one.requires_grad:
            direction = torch.randn_like(one)
            one.backward(direction, retain_graph=True)
            other.backward(direction, retain_graph=True)
    for one, other in zip(found_inputs, expected_inputs, strict=True):
        if one.grad is not None or other.grad is not None:
            _check_close(one.grad, other.grad, "gradient of an input")
    own = _tensors(plain)
    for name, tensor in _tensors(layer).items():
        value = before[name].clone()
        value[places[name]] = own[name].detach()
        _check_close(tensor.detach(), value, name)
        outside = torch.ones_like(value, dtype=torch.bool)
        outside[places[name]] = False
        assert torch.equal(tensor[outside], before[name][outside]), name
        if isinstance(tensor, nn.Parameter) and own[name].grad is not None:
            value = torch.zeros_like(tensor)
            value[places[name]] = own[name].grad
            _check_close(tensor.grad, value, f"gradient of {name}")
            assert not tensor.grad[outside].any(), name
    layer.zero_grad()
    plain.zero_grad()


def _compare_frozen(frozen: nn.Module, layer: nn.Module, plain: nn.Module, inputs: tuple[Tensor, ...], options: Any) -> None:
    assert type(frozen) is type(plain)
    assert repr(frozen) == repr(plain)
    assert _settings(frozen) == _settings(plain)
    assert list(frozen.state_dict()) == list(plain.state_dict())
    whole = _tensors(layer)
    for name, tensor in _tensors(frozen).items():
        _check_close(tensor, _tensors(plain)[name], name)
        assert isinstance(tensor, nn.Parameter) == isinstance(whole[name], nn.Parameter), name
        assert tensor.is_contiguous(), name
        assert tensor.untyped_storage().nbytes() == tensor.nbytes, name  # truly small, not a view
        assert tensor.untyped_storage().data_ptr() != whole[name].untyped_storage().data_ptr(), name
        assert tensor.requires_grad == whole[name].requires_grad, name
    with torch.no_grad():  # where torch takes its fast paths
        expected, _ = _call(plain, inputs, options)
        for candidate in (frozen, layer):
            for one, other in zip(_call(candidate, inputs, options)[0], expected, strict=True):
                _check_close(one, other, type(candidate).__name__)


def _call(layer: nn.Module, inputs: tuple[Tensor, ...], options: Any) -> tuple[list[Tensor], list[Tensor]]:
    """The tensors that come out, and the copies that went in; one tensor given twice stays one."""
    copies = {id(one): one.clone().requires_grad_(one.is_floating_point()) for one in inputs}
    torch.manual_seed(1)  # dropout
    output = layer(*(copies[id(one)] for one in inputs), **options)
    outputs = output if isinstance(output, tuple) else (output,)
    return [one for one in outputs if one is not None], list(copies.values())


def _check_close(found: Tensor | None, expected: Tensor | None, what: str) -> None:
    assert found is not None, what
    assert expected is not None, what
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12, msg=lambda text: f"{what}: {text}")


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _settings(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if isinstance(value, int | float | str | tuple | None)}


def _randomise(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if name.endswith("running_var"):
            tensor.data.uniform_(0.5, 2)
        elif tensor.is_floating_point():
            tensor.data.normal_()
