"""The registry in the object store keeps the contract, also when its actor dies."""

import gc
import shutil
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
import ray
import torch
from hypothesis import Phase
from torch import nn

import raynas
from raynas.errors import RegistryError
from raynas.nn import LayerChoice, generate_search_space
from raynas.runtime.registry import ray_store
from raynas.testing import RegistryContract
from raynas.testing.registry_contract import Net
from raynas.weights import Registry
from tests.runtime.killing import kill_actor

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


class TestRay(RegistryContract):
    """One actor serves all tests: starting one takes seconds."""

    num_examples = 4
    num_commands = 12
    num_restarts = 2
    phases = (Phase.generate,)  # making a sequence shorter takes minutes
    opened: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls.opened["folder"] = tmp_path_factory.mktemp("mirror")

    def make_registry(self, name: str, storage_path: Path) -> Registry:
        registry = raynas.WeightRegistry("contract", self.opened["folder"])
        registry.close()
        shutil.rmtree(self.opened["folder"], ignore_errors=True)
        return registry

    def restart(self, registry: Registry, storage_path: Path) -> Registry:
        kill_actor(registry)
        return raynas.WeightRegistry("contract", self.opened["folder"])


def test_without_a_mirror_a_restart_is_told_and_publishing_begins_again() -> None:
    registry = raynas.WeightRegistry("restarted")
    net = Net()
    registry.publish(net)
    kill_actor(registry)
    architecture = generate_search_space(net).unrank(0)
    with pytest.raises(RegistryError, match="was started again, and what it held is lost: it has no storage_path"):
        registry.fetch(architecture, version=1)
    version = registry.publish(net)
    assert all(
        torch.equal(tensor, net.state_dict()[name]) for name, tensor in registry.fetch(architecture, version=version).items()
    )


def test_a_reader_goes_on_after_a_restart_without_noticing(tmp_path: Path) -> None:
    registry, net = raynas.WeightRegistry("recovered", tmp_path), Net()
    version = registry.publish(net)
    registry.flush()
    space, state = generate_search_space(net), net.state_dict()
    before = registry.fetch(space.unrank(0), version=version)
    kill_actor(registry)  # and with it everything that it owned
    for architecture in space.enumerate():
        tensors = registry.fetch(architecture, version=version)
        assert all(torch.equal(tensor, state[name]) for name, tensor in tensors.items())
    assert all(torch.equal(tensor, state[name]) for name, tensor in before.items())
    assert registry.publish(net) > version


def test_another_run_may_not_publish_under_the_name(tmp_path: Path) -> None:
    raynas.WeightRegistry("owned")  # nothing was published: it makes way for one with a mirror
    registry, net = raynas.WeightRegistry("owned", tmp_path / "one"), Net()
    registry.publish(net)
    with pytest.raises(RegistryError, match=r"a registry 'owned' already, and it is mirrored in .*one: .* with share=True"):
        raynas.WeightRegistry("owned", tmp_path / "two")
    assert raynas.WeightRegistry("owned", tmp_path / "two", share=True).publish(net) == 2


def test_two_that_take_a_name_from_each_other_do_not_do_so_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_store.RayStore, "open", lambda store, *, share: False)
    with pytest.raises(RegistryError, match="'taken' is opened with another storage_path elsewhere, again and again"):
        raynas.WeightRegistry("taken")


def test_what_was_closed_is_opened_again_from_its_mirror(tmp_path: Path) -> None:
    registry, net = raynas.WeightRegistry("reopened", tmp_path), Net()
    version = registry.publish(net)
    registry.close()
    assert registry.versions() == []
    assert raynas.WeightRegistry.open(tmp_path, name="reopened").versions() == [version]
    assert registry.publish(net) == version + 1


def bytes_in_use() -> int:
    """Of this machine's object store."""
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    state = get_state_from_address(ray.get_runtime_context().gcs_address)
    used: int = get_memory_info_reply(state).store_stats.object_store_bytes_used
    return used


def test_the_object_store_is_as_before_after_close(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(*(LayerChoice([nn.Linear(512, 512), nn.Linear(512, 512)], key=f"k{number}") for number in range(4)))
    path = generate_search_space(net).unrank(0)
    gc.collect()
    before = bytes_in_use()
    for storage in (None, tmp_path / "mirror"):
        registry = raynas.WeightRegistry("leaks", storage)
        for _ in range(5):  # more than stay
            with torch.no_grad():
                net[0].candidates[0].weight += 1
            version = registry.publish(net)
        with registry.lease(version):
            tensors = registry.fetch(path, version=version, copy=True)
            registry.update(path, {name: tensor + 1 for name, tensor in tensors.items()}, version)
        views = registry.fetch(path)
        assert bytes_in_use() >= before + registry.stats().num_bytes > before + 8_000_000
        registry.close()
        del views, tensors
        deadline = time.monotonic() + 20
        while bytes_in_use() > before and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.1)
        assert bytes_in_use() <= before
