"""``Workers``: how many fit, and what is said when they do not."""

import pytest
import ray
import ray.data

from raynas.errors import OptionError, TrainingError
from raynas.runtime.cluster import worker_resources
from raynas.runtime.cluster.worker_resources import Workers, count_places, wait_for_workers


@pytest.mark.parametrize(("num_workers", "ends"), [(3, (3, 3)), ((1, 4), (1, 4)), ((2, 2), (2, 2))])
def test_a_number_and_a_range_are_read(num_workers: int | tuple[int, int], ends: tuple[int, int]) -> None:
    workers = Workers.of(num_workers, use_gpu=False)
    assert (workers.minimum, workers.maximum) == ends
    assert workers.is_elastic == (ends[0] != ends[1])


@pytest.mark.parametrize("num_workers", [0, (0, 2), (3, 2)])
def test_no_worker_and_an_empty_range_are_refused(num_workers: int | tuple[int, int]) -> None:
    with pytest.raises(OptionError, match="num_workers is"):
        Workers.of(num_workers, use_gpu=False)


def test_each_worker_needs_one_node() -> None:
    nodes = [{"CPU": 3.0, "GPU": 1.0}, {"CPU": 1.5}, {"CPU": 0.5, "GPU": 8.0}]
    assert count_places({"CPU": 1.0}, nodes) == 4
    assert count_places({"CPU": 1.0, "GPU": 1.0}, nodes) == 1
    assert count_places({"GPU": 1.0}, nodes) == 9
    assert count_places({"TPU": 1.0}, nodes) == 0


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_what_is_missing_is_said_at_once_where_no_node_can_come() -> None:
    cpus = int(ray.cluster_resources()["CPU"])
    wait_for_workers(Workers.of((1, 500), use_gpu=False), 60)
    with pytest.raises(
        OptionError, match=rf"500 workers with 1 CPU each are wanted, the cluster has room for {cpus}: {cpus} CPU;"
    ):
        wait_for_workers(Workers.of(500, use_gpu=False), 60)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_data_that_is_computed_meanwhile_needs_a_cpu_beside_the_workers() -> None:
    cpus = int(ray.cluster_resources()["CPU"])
    stored = ray.data.from_items([{"input": 1.0, "target": 1}])
    computed = stored.map(lambda row: row)
    wait_for_workers(Workers.of(cpus, use_gpu=False, train_data=stored), 60)
    wait_for_workers(Workers.of((1, max(1, cpus - 1)), use_gpu=False, train_data=computed), 60)
    for num_workers in (cpus, (1, cpus)):
        with pytest.raises(
            OptionError, match=rf"{cpus} workers with 1 CPU each, and 1 CPU for Ray Data, which .*, or Dataset\.materialize\(\)"
        ):
            wait_for_workers(Workers.of(num_workers, use_gpu=False, train_data=computed), 60)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_elsewhere_it_waits_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_resources, "is_started_here", lambda: False)
    with pytest.raises(TrainingError, match=r"500 workers with 1 CPU each found no room within 1 s; the cluster has \d+ CPU"):
        wait_for_workers(Workers.of(500, use_gpu=False), 1)
