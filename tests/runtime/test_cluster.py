import dataclasses
import threading

import pytest
import ray
import ray.cloudpickle
import torch

import raynas
from raynas.errors import OptionError, TaskError
from raynas.runtime import ship
from raynas.runtime.cluster import num_slots


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
