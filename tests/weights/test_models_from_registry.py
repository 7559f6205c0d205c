"""Models from a registry: frozen over its memory, or loaded to be trained further; the store stays as it was."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from raynas.errors import ArchitectureError, RegistryError, UnknownVersionError
from raynas.mutators import apply_fixed_architecture
from raynas.nn import freeze, generate_search_space
from raynas.oneshot import recalibrate
from raynas.space import Architecture
from raynas.weights import Registry, digest_shards

Choose = Callable[..., Architecture]
CPU = torch.device("cpu")


def contents(registry: Registry) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Digests of what the store has in memory, and what they should be."""
    manifest = registry._store.manifest()
    packs = manifest.layout.packs
    blocks = registry._store.read(manifest, range(len(packs)))
    return [digest_shards(block, pack) for block, pack in zip(blocks, packs, strict=True)], list(manifest.digests)


@pytest.fixture(autouse=True)
def _the_store_stays_as_it_was(registry: Registry) -> Any:
    yield
    if registry.versions():
        found, expected = contents(registry)
        assert found == expected


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


# --- frozen ---------------------------------------------------------------------------------------------------------


def test_a_frozen_model_computes_the_same_without_copying(supernet: nn.Module, registry: Registry) -> None:
    registry.publish(supernet)
    skeleton = type(supernet)()
    before = state_of(skeleton)
    x = torch.randn(6, 4)
    for chosen in generate_search_space(supernet).enumerate():
        plain = registry.frozen(skeleton, chosen.to_dict()).eval()
        assert torch.equal(plain(x), freeze(supernet, chosen).eval()(x))
        assert not any(parameter.requires_grad for parameter in plain.parameters())
        shared = {tensor.data_ptr() for tensor in registry.fetch(chosen).values()}
        assert {parameter.data_ptr() for parameter in plain.parameters()} <= shared
    assert equal(state_of(skeleton), before)


def test_a_frozen_model_is_of_the_version_asked_for(supernet: nn.Module, registry: Registry, choose: Choose) -> None:
    registry.publish(supernet)
    chosen, x = choose(supernet, outer=0), torch.randn(6, 4)
    expected = freeze(supernet, chosen).eval()(x)
    with torch.no_grad():
        supernet.stem.weight += 1
    registry.publish(supernet)
    assert torch.equal(registry.frozen(supernet, chosen, version=1).eval()(x), expected)
    assert not torch.equal(registry.frozen(supernet, chosen).eval()(x), expected)


def test_slices_of_the_store_compute_what_freeze_does(elastic: nn.Module, registry: Registry) -> None:
    registry.publish(elastic)
    skeleton = type(elastic)()
    before = state_of(skeleton)
    x = torch.randn(6, 4)
    for chosen in generate_search_space(elastic).enumerate():
        plain, reference = registry.frozen(skeleton, chosen).eval(), freeze(elastic, chosen).eval()
        assert repr(plain) == repr(reference)
        assert torch.equal(plain(x), reference(x))
        assert not any(parameter.requires_grad for parameter in plain.parameters())
        shared = {tensor.data_ptr() for tensor in registry.fetch(chosen).values()}
        copied = [name for name, each in plain.named_parameters() if each.data_ptr() not in shared]
        sliced = chosen["width"]["_idx"] == 0
        assert copied == (["attention.in_proj_weight", "attention.in_proj_bias"] if sliced else [])  # joined in thirds
        plain.train()(x)  # the statistics are its own
        assert not torch.equal(plain.stem[1].running_mean, reference.stem[1].running_mean)
    assert equal(state_of(skeleton), before)


def test_running_and_recalibrating_a_frozen_model_leaves_the_store_alone(supernet: nn.Module, registry: Registry) -> None:
    registry.publish(supernet)
    data = TensorDataset(torch.randn(32, 4) * 3 + 1, torch.zeros(32))
    rng = Random(0)
    for _ in range(8):
        plain = registry.frozen(supernet, generate_search_space(supernet).sample(rng))
        plain.train()(data.tensors[0])
        recalibrate(plain, data, device=CPU, num_samples=32)
        plain.eval()(data.tensors[0])


def test_recalibrating_slices_leaves_others_alone(elastic: nn.Module, registry: Registry, choose: Choose) -> None:
    registry.publish(elastic)
    chosen = choose(elastic, width=0, depth=0)
    data = TensorDataset(torch.randn(32, 4) * 3 + 1, torch.zeros(32))
    one, other = registry.frozen(elastic, chosen), registry.frozen(elastic, chosen)
    recalibrate(one, data, device=CPU, num_samples=32)
    assert one.stem[1].running_mean.shape == (2,)
    assert not torch.equal(one.stem[1].running_mean, other.stem[1].running_mean)
    assert torch.equal(other.stem[1].running_mean, elastic.stem[1].running_mean[:2])


@pytest.mark.parametrize("make", ["frozen", "load_into"])
def test_an_architecture_of_another_space_is_refused(supernet: nn.Module, registry: Registry, make: str) -> None:
    registry.publish(supernet)
    with pytest.raises(ArchitectureError, match="'outer' is missing"):
        getattr(registry, make)(supernet, {})
    with pytest.raises(UnknownVersionError, match=r"version 9 .* it has \[1\]"):
        getattr(registry, make)(supernet, {"outer": {"_idx": 2}}, version=9)


# --- loaded ---------------------------------------------------------------------------------------------------------


def train(model: nn.Module) -> None:
    """A step that changes every parameter that takes part."""
    model.train()(torch.randn(8, 4)).square().sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad


@pytest.mark.parametrize("fixture", ["supernet", "elastic"])
def test_a_fixed_supernet_takes_the_weights_of_its_architecture(
    request: pytest.FixtureRequest, registry: Registry, fixture: str
) -> None:
    supernet = request.getfixturevalue(fixture)
    registry.publish(supernet)
    for chosen in generate_search_space(supernet).enumerate():
        torch.manual_seed(1)
        model = type(supernet)()
        before = state_of(model)
        apply_fixed_architecture(model, chosen)
        assert registry.load_into(model, chosen) is model
        tensors = registry.fetch(chosen)
        assert equal(state_of(model), {**before, **tensors})
        x = torch.randn(6, 4)
        assert torch.allclose(model.eval()(x), freeze(supernet, chosen).eval()(x), atol=1e-6)
        train(model)
        assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("fixture", ["supernet", "elastic"])
def test_a_frozen_model_takes_its_part_of_each_layer(request: pytest.FixtureRequest, registry: Registry, fixture: str) -> None:
    supernet = request.getfixturevalue(fixture)
    registry.publish(supernet)
    skeleton = type(supernet)()
    before = state_of(skeleton)
    for chosen in generate_search_space(supernet).enumerate():
        plain = freeze(type(supernet)(), chosen)
        assert registry.load_into(plain, chosen.to_dict(), supernet=skeleton) is plain
        assert equal(state_of(plain), state_of(freeze(supernet, chosen)))
        train(plain)
    assert equal(state_of(skeleton), before)


def test_an_older_version_can_be_loaded_and_given_back(supernet: nn.Module, registry: Registry, choose: Choose) -> None:
    registry.publish(supernet)
    chosen = choose(supernet, outer=0)
    before = state_of(supernet)
    with torch.no_grad():
        supernet.stem.bias += 1
    registry.publish(supernet)
    model = registry.load_into(apply_fixed_architecture(type(supernet)(), chosen), chosen, version=1)
    assert torch.equal(model.stem.bias, before["stem.bias"])
    train(model)
    tensors = {name: model.state_dict()[name] for name in registry.fetch(chosen)}
    assert registry.update(chosen, tensors, 1) == 3
    assert equal(registry.fetch(chosen, copy=True), tensors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: setattr(model, "head", nn.Linear(4, 5)), r"'head\.weight' of the model is \[5, 4\], expected \[4, 4\]"),
        (lambda model: setattr(model.stem, "bias", None), r"'stem\.bias' of the model is missing, expected \[4\]"),
        (lambda model: setattr(model, "extra", nn.Linear(1, 1)), r"'extra\.weight' of the model is \[1, 1\], expected missing"),
    ],
    ids=["shape", "missing", "more"],
)
@pytest.mark.parametrize("plain", [False, True])
def test_another_model_is_refused_with_the_first_tensor_that_differs(
    supernet: nn.Module, registry: Registry, choose: Choose, change: Callable[[nn.Module], None], message: str, plain: bool
) -> None:
    registry.publish(supernet)
    chosen = choose(supernet, outer=0)
    model = freeze(type(supernet)(), chosen) if plain else type(supernet)()
    change(model)
    before = state_of(model)
    if not plain and "expected missing" in message:
        registry.load_into(model, chosen)  # a supernet has more than an architecture, whatever it is
        assert torch.equal(model.stem.bias, supernet.stem.bias)
        return
    with pytest.raises(RegistryError, match=message):
        registry.load_into(model, chosen, supernet=supernet if plain else None)
    assert equal(state_of(model), before)


def test_the_model_of_another_architecture_is_refused(supernet: nn.Module, registry: Registry, choose: Choose) -> None:
    registry.publish(supernet)
    for ours, theirs, expected in ((0, 2, r"is \[4, 4\], expected missing"), (2, 0, r"is missing, expected \[4, 4\]")):
        model = freeze(supernet, choose(supernet, outer=ours))
        with pytest.raises(RegistryError, match=rf"'outer\.0\.weight' of the model {expected}"):
            registry.load_into(model, choose(supernet, outer=theirs), supernet=supernet)
