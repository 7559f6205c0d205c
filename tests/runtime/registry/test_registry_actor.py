import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
import ray
import torch
from torch import nn

import raynas
from raynas.errors import UploadLostError
from raynas.nn import LayerChoice
from raynas.runtime.registry.registry_actor import Put
from raynas.weights import Layout

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


def make_net() -> nn.Module:
    """Candidates of 400 kB each: smaller objects Ray keeps elsewhere than in shared memory."""
    torch.manual_seed(0)
    candidates = {"a": nn.Linear(320, 320), "b": nn.Sequential(nn.Linear(320, 320), nn.BatchNorm1d(320)), "c": nn.Identity()}
    return nn.Sequential(LayerChoice(candidates, key="op"), nn.Linear(320, 4))


class Publisher:
    def publish(self, name: str) -> int:
        return raynas.WeightRegistry(name).publish(make_net())


def test_weights_outlive_the_process_that_published_them() -> None:
    registry = raynas.WeightRegistry("outlives")
    publisher = ray.remote(num_cpus=0)(Publisher).remote()
    version = ray.get(publisher.publish.remote("outlives"))
    ray.kill(publisher)
    assert registry.home() == ray.get_runtime_context().get_node_id()
    net = make_net()
    space = raynas.generate_search_space(net)
    for architecture in space.enumerate():
        fetched = registry.fetch(architecture, version=version)
        assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in fetched.items())
    names = set(registry.fetch(space.validate({"op": {"_value": "a"}})))
    assert names == {"0.candidates.0.weight", "0.candidates.0.bias", "1.weight", "1.bias"}


class Holder:
    def put(self) -> list[Any]:
        return [ray.put([np.zeros(400_000, np.uint8)])]


def wait_until_its_owner_is_gone(held: Any) -> None:
    for _ in range(200):
        try:
            ray.get(held)
        except ray.exceptions.OwnerDiedError:
            return
        time.sleep(0.1)
    raise TimeoutError("its owner lives on")


def test_a_publisher_that_dies_while_its_weights_are_taken_over_adds_no_version() -> None:
    registry = raynas.WeightRegistry("dies")
    net = make_net()
    version = registry.publish(net)
    holder = ray.remote(num_cpus=0)(Holder).remote()
    held = ray.get(holder.put.remote())
    ray.kill(holder)
    wait_until_its_owner_is_gone(held[0])
    store: Any = registry._store
    upload = store.begin(Layout.of(net, net.state_dict()))
    digest = "0" * 32
    with pytest.raises(UploadLostError, match="got lost on their way into the registry"):
        store._call("commit", upload._name, Put([digest], held, store._node_id), {0: (digest,)}, {})
    assert registry.versions() == [version]


class Reader:
    def address_is_shared(self, name: str) -> tuple[bool, bool]:
        """Whether parameters lie in the object store's mapping, and whether buffers do."""
        registry = raynas.WeightRegistry(name)
        architecture = raynas.generate_search_space(make_net()).validate({"op": {"_value": "b"}})
        tensors = registry.fetch(architecture)
        maps = [line.split() for line in open("/proc/self/maps") if "plasma" in line or "/dev/shm" in line]  # noqa: PTH123, SIM115
        spans = [tuple(int(end, 16) for end in line[0].split("-")) for line in maps]
        inside = {name: any(low <= tensor.data_ptr() < high for low, high in spans) for name, tensor in tensors.items()}
        return inside["0.candidates.1.0.weight"], inside["0.candidates.1.1.running_mean"]


def test_readers_use_the_stores_memory_and_own_their_buffers() -> None:
    registry = raynas.WeightRegistry("shared-memory")
    registry.publish(make_net())
    reader = ray.remote(num_cpus=0)(Reader).remote()
    parameters, buffers = ray.get(reader.address_is_shared.remote("shared-memory"))
    assert parameters
    assert not buffers


@pytest.mark.nightly
def test_too_little_room_is_refused_before_anything_is_stored() -> None:
    code = (
        "import raynas, torch\n"
        "from torch import nn\n"
        "from raynas.nn import LayerChoice\n"
        "from raynas.runtime import connect\n"
        "connect(object_store_bytes=80_000_000)\n"
        "net = LayerChoice([nn.Linear(3500, 3500) for _ in range(2)], key='op')\n"
        "registry = raynas.WeightRegistry('large')\n"
        "try:\n"
        "    registry.publish(net)\n"
        "except raynas.RaynasError as error:\n"
        "    print(type(error).__name__, error, registry.versions())\n"
        "raynas.disconnect()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert result.stdout.startswith("NoRoomError publishing needs 196 MB"), result.stderr
    assert "--object-store-memory" in result.stdout
    assert result.stdout.rstrip().endswith("[]")
