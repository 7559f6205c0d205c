"""How the registry's costs grow: with readers at once, with versions kept, with the number of shards, and of blocks that lie
on another machine.

Each line of figures ends with its slope: milliseconds for every further reader, version or shard, by least squares.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import ray
import torch
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import nn

import raynas
from raynas.nn import LayerChoice
from raynas.runtime import connect, disconnect

Figures = dict[str, Any]


def best(rounds: int, work: Callable[[], Any]) -> float:
    """The fewest milliseconds that it took."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found) * 1e3


def line(name: str, figures: dict[int, float]) -> Figures:
    """The figures by number, and their slope."""
    slope = float(np.polyfit(list(figures), list(figures.values()), 1)[0])
    return {name: {str(number): round(each, 2) for number, each in figures.items()} | {"slope": round(slope, 5)}}


def make_net(choices: int, candidates: int, width: int, rows: int) -> nn.Module:
    """Choices whose candidates are one matrix each."""
    keys = (f"k{number}" for number in range(choices))
    return nn.Sequential(
        *(LayerChoice([nn.Linear(width, rows, bias=False) for _ in range(candidates)], key=key) for key in keys)
    )


class Reader:
    """A process that fetches paths."""

    def __init__(self, name: str, space: raynas.SearchSpace) -> None:
        self.registry, self.space = raynas.WeightRegistry(name), space

    def milliseconds(self, version: int, repeats: int) -> list[float]:
        """Of the first fetch of a path, and the mean of later ones of other paths."""
        seconds = []
        for number in range(repeats + 1):
            start = time.perf_counter()
            self.registry.fetch(self.space.unrank(number), version=version)
            seconds.append(time.perf_counter() - start)
        return [seconds[0] * 1e3, float(np.mean(seconds[1:] or seconds)) * 1e3]

    def calls_per_second(self, seconds: float) -> float:
        """How often the registry's process answers this one, while others ask it too."""
        start, number = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            self.registry.versions()
            number += 1
        return number / seconds


def with_readers(numbers: list[int]) -> Figures:
    """A fetch of 3 MB in two shards, by so many processes at once."""
    net = make_net(2, 8, 256, 1536)
    registry, space = raynas.WeightRegistry("growth-readers"), raynas.generate_search_space(net)
    version = registry.publish(net)
    first, later, calls = {}, {}, {}
    for number in numbers:
        remote: Any = ray.remote(num_cpus=0)(Reader)
        actors = [remote.remote("growth-readers", space) for _ in range(number)]
        ray.get([actor.__ray_ready__.remote() for actor in actors])
        spent = np.array(ray.get([actor.milliseconds.remote(version, 50) for actor in actors]))
        first[number], later[number] = float(spent[:, 0].mean()), float(spent[:, 1].mean())
        calls[number] = sum(ray.get([actor.calls_per_second.remote(2) for actor in actors]))
        for actor in actors:
            ray.kill(actor)
    registry.close()
    rates = {"calls_per_s_by_readers": {str(number): round(each) for number, each in calls.items()}}
    return line("first_fetch_ms_by_readers", first) | line("later_fetch_ms_by_readers", later) | rates


def with_versions(numbers: list[int]) -> Figures:
    """A publication of one changed shard of 1.5 MB, while so many versions are kept."""
    net = make_net(2, 8, 256, 1536)
    registry, first = raynas.WeightRegistry("growth-versions", keep=max(numbers)), next(net.parameters())
    path = raynas.generate_search_space(net).unrank(0)

    def publish() -> None:
        with torch.no_grad():
            first[0, 0] += 1
        registry.publish(net, changed={"k0": [0]})

    registry.publish(net)
    delta, fetch = {}, {}
    for number in numbers:
        while len(registry.versions()) < number:
            publish()
        delta[number], fetch[number] = best(5, publish), best(5, lambda: registry.fetch(path))
    registry.close()
    return line("delta_ms_by_versions", delta) | line("fetch_ms_by_versions", fetch)


def with_shards(numbers: list[int]) -> Figures:
    """A supernet of so many shards of a kilobyte, ten in each choice: published as a whole and in part, and fetched."""
    whole, nothing, part, fetch = {}, {}, {}, {}
    for number in numbers:
        net = make_net(number // 10, 10, 16, 16)
        registry, path = raynas.WeightRegistry(f"growth-{number}"), raynas.generate_search_space(net).unrank(0)
        registry.publish(net)

        def publish(changed: Any, net: nn.Module = net, registry: raynas.WeightRegistry = registry) -> None:
            with torch.no_grad():
                for parameter in net.parameters() if changed is None else [next(net.parameters())]:
                    parameter.add_(1)
            registry.publish(net, changed=changed)

        whole[number] = best(3, lambda: publish(None))
        nothing[number] = best(3, lambda: registry.publish(net))  # noqa: B023
        part[number] = best(3, lambda: publish({"k0": [0]}))
        fetch[number] = best(3, lambda: registry.fetch(path))  # noqa: B023
        registry.close()
    return (
        line("publish_ms_by_shards", whole)
        | line("publish_unchanged_ms_by_shards", nothing)
        | line("delta_ms_by_shards", part)
        | line("fetch_ms_by_shards", fetch)
    )


def elsewhere(numbers: list[int]) -> Figures:
    """The first fetch of so many blocks of a megabyte by a process beside another raylet; milliseconds of all of it."""
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 2 << 30})
    other = cluster.add_node(num_cpus=1, object_store_memory=2 << 30)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    where: Any = NodeAffinitySchedulingStrategy(other.node_id, soft=False)
    spent = {}
    for number in numbers:
        net = make_net(number, 1, 512, 512)
        space = raynas.generate_search_space(net)
        registry = raynas.WeightRegistry(f"growth-elsewhere-{number}")
        version = registry.publish(net)
        reader: Any = ray.remote(num_cpus=0, scheduling_strategy=where)(Reader).remote(registry.name, space)
        ray.get(reader.__ray_ready__.remote())
        spent[number] = ray.get(reader.milliseconds.remote(version, 0))[0]
        ray.kill(reader)
        registry.close()
    ray.shutdown()
    cluster.shutdown()
    return line("first_fetch_ms_by_blocks_elsewhere", spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute: a tenth of it")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    connect(object_store_bytes=4 << 30)
    figures = with_readers([1, 4] if quick else [1, 8, 64])
    figures |= with_versions([10, 50] if quick else [1, 10, 100, 1000])
    figures |= with_shards([10, 500] if quick else [10, 100, 1000, 10_000])
    disconnect()
    figures |= elsewhere([10, 50] if quick else [10, 100, 1000])
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
