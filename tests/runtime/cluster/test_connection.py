import dataclasses
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import ray
import ray.cloudpickle
import torch

import raynas
from raynas.errors import OptionError, TaskError
from raynas.runtime import ship
from raynas.runtime.cluster.connection import broadcast, num_slots


def test_what_is_shipped_comes_back(tiny_task: raynas.Task) -> None:
    task = ray.cloudpickle.loads(ship(tiny_task, "task"))
    assert torch.equal(task.data("train")[0][0], tiny_task.data("train")[0][0])


def test_what_cannot_be_pickled_is_named_down_to_its_part(tiny_task: raynas.Task) -> None:
    class Locked(torch.utils.data.Dataset[object]):
        def __init__(self) -> None:
            self.lock = threading.Lock()

        def __len__(self) -> int:
            return 100

        def __getitem__(self, index: int) -> object:
            return index

    with pytest.raises(TaskError, match=r"task\.valid_data\.lock cannot be pickled.*lambda: load"):
        ship(dataclasses.replace(tiny_task, valid_data=Locked()), "task")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_slots_are_what_the_scarcest_resource_holds() -> None:
    cpus = int(ray.cluster_resources()["CPU"])
    assert num_slots({"cpu": 1}) == cpus
    assert num_slots({"cpu": 0.25, "gpu": 0}) == 4 * cpus
    assert num_slots({}) == 1


@pytest.mark.parametrize(
    ("resources", "slots"),
    [({"gpu": 0.5}, 4), ({"cpu": 1, "gpu": 0.5}, 4), ({"cpu": 8, "gpu": 0.25}, 2), ({"gpu": 0.7}, 2)],
)
def test_fractions_of_gpus_share_them(monkeypatch: pytest.MonkeyPatch, resources: dict[str, float], slots: int) -> None:
    there = {"CPU": 16.0, "GPU": 2.0}
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": there}])
    monkeypatch.setattr(ray, "cluster_resources", lambda: there)
    assert num_slots(resources) == slots


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("resources", [{"gpu": 1}, {"cpu": 10_000}, {"cpu": 1, "tpu-v9": 0.5}])
def test_what_no_node_has_is_refused_where_none_can_come(resources: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="the most that a node has is"):
        num_slots(resources)


def lies_in_the_store(value: dict[str, np.ndarray]) -> bool:
    """Whether an array lies in the mapping of the object store."""
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if "plasma" in line or "/dev/shm" in line]
    spans = [tuple(int(end, 16) for end in line[0].split("-")) for line in maps]
    return any(low <= value["array"].ctypes.data < high for low, high in spans)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_arrays_that_are_broadcast_are_read_in_place() -> None:
    value = {"array": np.arange(1_000_000.0), "call": lambda: 3}
    there = ray.remote(num_cpus=0)(lies_in_the_store)
    assert ray.get(there.remote(broadcast(value, "value")))
    assert not lies_in_the_store(value)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_what_cannot_be_broadcast_is_named_too() -> None:
    class Locked:
        def __init__(self) -> None:
            self.lock = threading.Lock()

    with pytest.raises(TaskError, match=r"evaluate\.lock cannot be pickled.*lambda: load"):
        broadcast(Locked(), "evaluate")


@pytest.mark.nightly
@pytest.mark.ray
def test_an_actor_that_computes_nothing_is_on_this_machine() -> None:
    code = (
        "import logging, ray\n"
        "from ray.cluster_utils import Cluster\n"
        "from raynas.runtime.cluster.connection import on_this_machine\n"
        "cluster = Cluster(initialize_head=True, head_node_args={'num_cpus': 1})\n"
        "for _ in range(2):\n"
        "    cluster.add_node(num_cpus=1)\n"
        "ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)\n"
        "class Actor:\n"
        "    def where(self):\n"
        "        return ray.get_runtime_context().get_node_id()\n"
        "actors = [ray.remote(**on_this_machine())(Actor).remote() for _ in range(4)]\n"
        "print({ray.get(actor.where.remote()) for actor in actors} == {ray.get_runtime_context().get_node_id()})\n"
        "ray.shutdown()\n"
        "cluster.shutdown()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert result.stdout == "True\n", result.stderr
