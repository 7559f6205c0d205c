"""``Workers``: how many a training takes, what each needs, and waiting until the cluster has it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group

from raynas.errors import OptionError, TrainingError
from raynas.oneshot.row_data import is_row_data
from raynas.runtime.cluster.connection import is_started_here


@dataclass(frozen=True)
class Workers:
    """The workers of one training.

    Attributes:
        minimum, maximum: how many; between the two, as many as the cluster has room for.
        resources: of each, by Ray's names.
        computes_data: whether Ray Data computes the training data meanwhile, for which a CPU has to be left.
    """

    minimum: int
    maximum: int
    resources: Mapping[str, float]
    computes_data: bool = False

    @classmethod
    def of(cls, num_workers: int | tuple[int, int], *, use_gpu: bool, train_data: Any = None) -> Workers:
        """Of what the user said.

        Raises:
            OptionError: there is none, or the minimum is above the maximum.
        """
        least, most = (num_workers, num_workers) if isinstance(num_workers, int) else num_workers
        if not 1 <= least <= most:
            raise OptionError(f"num_workers is {num_workers!r}; expected a number of at least 1, or (min, max) of such numbers")
        return cls(least, most, {"GPU": 1.0} if use_gpu else {"CPU": 1.0}, _is_computed(train_data))

    @property
    def is_elastic(self) -> bool:
        return self.minimum < self.maximum

    @property
    def bundles(self) -> list[dict[str, float]]:
        """For what there has to be room. Where data is computed, workers that may be more must not take the last CPU."""
        own = [dict(self.resources)] * (self.maximum if self.computes_data else self.minimum)
        return [*own, {"CPU": 1.0}] if self.computes_data else own

    def __str__(self) -> str:
        what = " and ".join(f"{amount:g} {name}" for name, amount in self.resources.items())
        data = ", and 1 CPU for Ray Data, which computes the training data," if self.computes_data else ""
        return f"{self.maximum if self.computes_data else self.minimum} workers with {what} each{data}"


def count_places(resources: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> int:
    """How many workers fit on the nodes, each of them on one.

    Args:
        resources: of one worker.
        nodes: what each node has.
    """
    return sum(int(min(node.get(name, 0.0) / amount for name, amount in resources.items())) for node in nodes)


def wait_for_workers(workers: Workers, seconds: float) -> None:
    """Wait until there is room for the smallest number of workers, or for the largest where Ray Data has to find a CPU beside
    them: without one, all would wait for ever. It is asked for, so that a cluster that grows will grow.

    Raises:
        OptionError: this Ray was started here, and its one node will never have it.
        TrainingError: there is no room after so many seconds.
    """
    shortage = f"{workers} are wanted, the cluster has room for {_count_in_cluster(workers)}: {_describe_cluster(workers)}"
    num_needed = sum(bundle == workers.resources for bundle in workers.bundles)
    if _count_in_cluster(workers) < num_needed:
        if is_started_here():
            other = ", or Dataset.materialize()" if workers.computes_data else ""
            raise OptionError(f"{shortage}; no other node will join a Ray that was started here, take fewer workers{other}")
        logging.getLogger(__name__).warning("%s; waiting up to %g s", shortage, seconds)
    group = placement_group(workers.bundles)
    try:
        if not group.wait(seconds):
            raise no_room(workers, seconds)
    finally:
        remove_placement_group(group)


def _is_computed(data: Any) -> bool:
    """Whether it is a ``ray.data.Dataset`` that does not lie in the object store yet."""
    if not is_row_data(data):
        return False
    from ray.data.dataset import MaterializedDataset

    return not isinstance(data, MaterializedDataset)


def no_room(workers: Workers, seconds: float) -> TrainingError:
    """The error that says what the cluster lacks after so many seconds."""
    return TrainingError(
        f"{workers} found no room within {seconds:g} s; the cluster has {_describe_cluster(workers)}, "
        f"of which {_describe(workers, ray.available_resources())} is free"
    )


def _count_in_cluster(workers: Workers) -> int:
    return count_places(workers.resources, [node["Resources"] for node in ray.nodes() if node["Alive"]])


def _describe_cluster(workers: Workers) -> str:
    return _describe(workers, ray.cluster_resources())


def _describe(workers: Workers, resources: Mapping[str, float]) -> str:
    return ", ".join(f"{resources.get(name, 0):g} {name}" for name in workers.resources)
