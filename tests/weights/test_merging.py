"""Updates: what becomes of tensors that two have trained, all of it or nothing."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import OptionError, RegistryError, UnknownVersionError
from raynas.nn import LayerChoice
from raynas.space import Architecture
from raynas.weights import LocalStore, Registry
from raynas.weights.merging import Update

Choose = Callable[..., Architecture]
BLOCK = "outer.candidates.0.0.weight"  # of the architecture outer=0
MEAN = "outer.candidates.0.1.running_mean"


def add(base: Tensor, current: Tensor, given: Tensor) -> Tensor:
    """Nothing that anybody has added is lost."""
    return current + given - base


def bits(tensor: Tensor) -> list[int]:
    return tensor.contiguous().view(-1).view(torch.uint8).tolist()


def trained(registry: Registry, architecture: Architecture, amount: float, *, version: int | None = None) -> dict[str, Tensor]:
    """The tensors of an architecture, each with something added."""
    return {name: each + amount for name, each in registry.fetch(architecture, version=version, copy=True).items()}


@pytest.fixture
def path(supernet: nn.Module, choose: Choose) -> Architecture:
    return choose(supernet, outer=0)


# --- without and with clashes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("merge", ["overwrite", "average", add])
def test_without_a_clash_the_given_tensors_are_taken(
    supernet: nn.Module, registry: Registry, path: Architecture, choose: Choose, merge: Any
) -> None:
    registry.publish(supernet)
    other = choose(supernet, outer=1, inner=0)
    before = registry.fetch(other, copy=True)
    given = trained(registry, path, 1)
    assert registry.update(path, given, 1, merge=merge) == 2
    for name, tensor in registry.fetch(path).items():
        assert torch.equal(tensor, given[name]), name
    for name, tensor in registry.fetch(other).items():
        assert torch.equal(tensor, before[name] + (0 if name.startswith("outer") else 1)), name
    assert registry.stats().clashes == 0


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        ("overwrite", lambda base, current, given: given),
        ("average", lambda base, current, given: (current + given) / 2 if given.is_floating_point() else given),
        (add, add),
        (lambda base, current, given: base * 0 + 7, lambda base, current, given: torch.full_like(base, 7)),
    ],
    ids=["overwrite", "average", "add", "seven"],
)
def test_a_clash_is_merged(
    supernet: nn.Module, registry: Registry, path: Architecture, merge: Any, expected: Callable[..., Tensor]
) -> None:
    registry.publish(supernet)
    base, current, given = registry.fetch(path, copy=True), trained(registry, path, 1), trained(registry, path, 4)
    registry.update(path, current, 1)
    assert registry.update(path, given, 1, merge=merge) == 3
    found = registry.fetch(path)
    for name in found:
        assert torch.equal(found[name], expected(base[name], current[name], given[name])), name
    assert registry.stats().clashes == 2  # what lies outside, and the candidate
    assert torch.equal(registry.fetch(path, version=1)[BLOCK], base[BLOCK])
    assert torch.equal(registry.fetch(path, version=2)[BLOCK], current[BLOCK])


def test_only_what_is_given_is_changed_and_can_clash(supernet: nn.Module, registry: Registry, path: Architecture) -> None:
    registry.publish(supernet)
    before = registry.fetch(path, copy=True)
    registry.update(path, {"stem.bias": before["stem.bias"] + 1}, 1)
    registry.update(path, {MEAN: before[MEAN] + 2}, 1, merge="average")  # of another shard
    assert registry.stats().clashes == 0
    registry.update(path, {BLOCK: before[BLOCK] + 4}, 1, merge="average")  # of the same shard as the mean
    assert registry.stats().clashes == 1
    found = registry.fetch(path)
    expected = {**before, "stem.bias": before["stem.bias"] + 1, MEAN: before[MEAN] + 2, BLOCK: before[BLOCK] + 2}
    for name in found:
        assert torch.allclose(found[name], expected[name]), name
    assert registry.update(path, {}, 3) == registry.newest() == 5


def test_trained_parameters_on_any_stride_are_taken(supernet: nn.Module, registry: Registry, path: Architecture) -> None:
    registry.publish(supernet)
    given = nn.Parameter(torch.randn(4, 4).t())
    for base in (1, 1):
        registry.update(path, {BLOCK: given}, base, merge=lambda base, current, given: given * 1)
    found = registry.fetch(path)[BLOCK]
    assert torch.equal(found, given)
    assert not found.requires_grad


def test_every_kind_of_tensor_can_be_given_back(every_kind: nn.Module, registry: Registry, choose: Choose) -> None:
    registry.publish(every_kind)
    path = choose(every_kind, op=1)
    given = {
        name: tensor.flip(0) if tensor.ndim else ~tensor if tensor.dtype == torch.bool else tensor * 2
        for name, tensor in registry.fetch(path, copy=True).items()
    }
    with registry.lease(1):
        for merge in ("overwrite", "overwrite", "average", lambda base, current, given: given):  # the first without a clash
            registry.update(path, given, 1, merge=merge)
            for name, tensor in registry.fetch(path).items():
                assert bits(tensor) == bits(given[name]), name


def test_mutables_that_share_a_key_are_updated_apart(registry: Registry, choose: Choose) -> None:
    net = nn.Sequential(*(LayerChoice([nn.Linear(2, 2, bias=False), nn.Identity()], key="op") for _ in range(2)))
    registry.publish(net)
    path = choose(net, op=0)
    registry.update(path, {"1.candidates.0.weight": torch.zeros(2, 2)}, 1)
    assert torch.equal(registry.fetch(path)["0.candidates.0.weight"], net[0].candidates[0].weight)
    assert torch.equal(registry.fetch(path)["1.candidates.0.weight"], torch.zeros(2, 2))


# --- tied tensors ---------------------------------------------------------------------------------------------------


def test_tied_tensors_are_merged_once(supernet: nn.Module, registry: Registry, path: Architecture) -> None:
    registry.publish(supernet)
    before = registry.fetch(path, copy=True)["stem.weight"]
    for amount in (1, 2):
        registry.update(path, trained(registry, path, amount, version=1), 1, merge=add)
    for name in ("stem.weight", "head.weight"):
        assert torch.allclose(registry.fetch(path)[name], before + 3)
    registry.update(path, {"head.weight": before}, 3)  # one of the names is enough
    assert torch.equal(registry.fetch(path)["stem.weight"], before)


def test_tied_tensors_that_are_given_differently_are_refused(
    supernet: nn.Module, registry: Registry, path: Architecture
) -> None:
    registry.publish(supernet)
    given = registry.fetch(path, copy=True)
    given["head.weight"] += 1
    with pytest.raises(RegistryError, match=r"'stem\.weight' and 'head\.weight' are one tensor, and are given"):
        registry.update(path, given, 1)
    given["head.weight"] = given["stem.weight"].clone()
    for name in ("stem.weight", "head.weight"):
        given[name][0, 0] = float("nan")  # equals itself here
    assert registry.update(path, given, 1) == 2


# --- what is refused, and leaves everything as it was ---------------------------------------------------------------


def bad_merge(*_: Tensor) -> Tensor:
    raise ArithmeticError("not today")


@pytest.mark.parametrize(
    ("change", "merge", "error", "message"),
    [
        (
            {"outer.candidates.1.1.bias": torch.zeros(4)},
            add,
            RegistryError,
            r"bias' is no tensor of this arch.* it has head",
        ),
        ({"nothing": torch.zeros(4)}, add, RegistryError, "'nothing' is no tensor of this architecture"),
        ({BLOCK: torch.zeros(4, 3)}, add, RegistryError, rf"'{BLOCK}' is torch.float32 \[4, 3\], expected float32 \[4, 4\]"),
        ({BLOCK: torch.zeros(4, 4, dtype=torch.float16)}, add, RegistryError, rf"'{BLOCK}' is torch.float16 \[4, 4\]"),
        ({}, "mean", OptionError, "merge is 'mean'; expected 'overwrite', 'average' or a function"),
        ({}, bad_merge, ArithmeticError, "not today"),
        ({}, lambda base, current, given: given.sum(), RegistryError, r"merge made \[\] of 'stem\.weight', expected \[4, 4\]"),
    ],
    ids=["another's", "unknown", "shape", "dtype", "option", "raises", "broadcasts"],
)
def test_what_cannot_be_merged_changes_nothing(
    supernet: nn.Module,
    registry: Registry,
    path: Architecture,
    change: dict[str, Tensor],
    merge: Any,
    error: type[Exception],
    message: str,
) -> None:
    registry.publish(supernet)
    current = trained(registry, path, 1)
    registry.update(path, current, 1)
    with pytest.raises(error, match=message):
        registry.update(path, {**trained(registry, path, 2, version=1), **change}, 1, merge=merge)
    assert (registry.versions(), registry.stats().clashes) == ([1, 2], 0)
    assert all(torch.equal(tensor, current[name]) for name, tensor in registry.fetch(path).items())


def test_a_function_that_writes_to_what_it_is_given_does_no_harm(
    supernet: nn.Module, registry: Registry, path: Architecture
) -> None:
    def in_place(base: Tensor, current: Tensor, given: Tensor) -> Tensor:
        result = current.add_(given).sub_(base)
        base.zero_()
        return result

    registry.publish(supernet)
    versions = [registry.fetch(path, copy=True)]
    for amount in (1, 2):
        registry.update(path, trained(registry, path, amount, version=1), 1, merge=in_place)
        versions.append(registry.fetch(path, copy=True))
    assert torch.allclose(versions[2][BLOCK], versions[0][BLOCK] + 3)
    for number, tensors in enumerate(versions, 1):
        assert all(torch.equal(each, tensors[name]) for name, each in registry.fetch(path, version=number).items())


def test_a_base_that_is_gone_is_an_error(supernet: nn.Module, path: Architecture) -> None:
    store = LocalStore(keep=1)
    registry = Registry("net", store)
    registry.publish(supernet)
    base, given = store.manifest(), trained(registry, path, 1)
    registry.update(path, trained(registry, path, 2), 1)
    with pytest.raises(UnknownVersionError, match=r"version 1 .* it has \[2\]"):
        registry.update(path, given, 1)
    with pytest.raises(UnknownVersionError, match="version 1 was dropped; with a lease it would have stayed"):
        Update(path, given, base, add).commit(store, share=False)  # it was dropped in between


def test_a_registry_without_weights_cannot_be_updated(registry: Registry, path: Architecture) -> None:
    with pytest.raises(UnknownVersionError, match=r"version 1 .* it has \[\]"):
        registry.update(path, {}, 1)
