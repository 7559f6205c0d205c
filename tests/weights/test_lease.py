"""Leases: a version in use stays, as long as its user lives and no longer."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from raynas.errors import RegistryError, UnknownVersionError
from raynas.space import Architecture
from raynas.storage import Storage
from raynas.weights import KEEP, Lease, LocalStore, Registry
from raynas.weights import lease as lease_module


def lease_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "raynas-lease"]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_version_stays_beyond_the_newest_until_it_is_released(
    supernet: nn.Module, tmp_path: Path, choose: Callable[..., Architecture], mirrored: bool
) -> None:
    registry = Registry("net", LocalStore(Storage(tmp_path) if mirrored else None))
    before = supernet.stem.bias.detach().clone()
    registry.publish(supernet)
    with registry.lease() as version, registry.lease(1) as again:
        assert (version, again, registry.stats().num_leased, len(lease_threads())) == (1, 1, 1, 2)
        for _ in range(KEEP + 1):
            with torch.no_grad():
                supernet.stem.bias += 1
            registry.publish(supernet)
        assert registry.versions() == [1, 3, 4, 5]
        assert torch.equal(registry.fetch(choose(supernet, outer=2), version=1)["stem.bias"], before)
        with pytest.raises(RegistryError, match="version 1 is in use: it is under a lease"):
            registry.delete(1)
    assert (registry.versions(), registry.stats().num_leased) == ([3, 4, 5], 0)
    assert lease_threads() == []


def test_a_lease_ends_with_an_error_in_its_block(supernet: nn.Module, registry: Registry) -> None:
    registry.publish(supernet)
    with pytest.raises(ArithmeticError), registry.lease(1):
        raise ArithmeticError
    assert registry.stats().num_leased == 0


def test_a_lease_may_be_closed_twice(supernet: nn.Module, registry: Registry) -> None:
    registry.publish(supernet)
    lease = registry.lease(1)
    assert lease.version == 1
    lease.close()
    lease.close()
    assert registry.stats().num_leased == 0


def test_what_is_not_there_cannot_be_leased(supernet: nn.Module, registry: Registry) -> None:
    with pytest.raises(UnknownVersionError, match="'net' holds no weights"):
        registry.lease()
    registry.publish(supernet)
    with pytest.raises(UnknownVersionError, match=r"version 2 .* it has \[1\]"):
        registry.lease(2)
    with pytest.raises(UnknownVersionError, match=r"version 2 .* it has \[1\]"):
        Lease(registry._store, 2)
    assert lease_threads() == []


class UnsteadyStore(LocalStore):
    """A store that cannot be reached at first, and remembers what it is told is in use."""

    def __init__(self) -> None:
        super().__init__()
        self.renewed: list[tuple[str, int, float]] = []

    def renew(self, lease: str, version: int, seconds: float) -> None:
        self.renewed.append((lease, version, seconds))
        if len(self.renewed) == 1:
            raise ConnectionError("not now")
        super().renew(lease, version, seconds)


def test_a_lease_is_renewed_while_it_is_open_and_not_after(supernet: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "SECONDS", 0.2)
    store = UnsteadyStore()
    registry = Registry("net", store)
    registry.publish(supernet)
    with registry.lease(1):
        while len(store.renewed) < 3:
            time.sleep(0.01)
    num_renewed = len(store.renewed)
    time.sleep(0.2)
    assert (len(store.renewed), lease_threads()) == (num_renewed, [])
    assert {each[1:] for each in store.renewed} == {(1, 0.2)}
    assert len({each[0] for each in store.renewed}) == 1


def test_a_lease_outlives_the_store(supernet: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "SECONDS", 0.1)
    registry = Registry("net", LocalStore())
    registry.publish(supernet)
    with registry.lease(1):
        registry.close()
        time.sleep(0.2)
        assert len(lease_threads()) == 1
    assert (registry.versions(), lease_threads()) == ([], [])
