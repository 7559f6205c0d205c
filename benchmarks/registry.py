"""The weight registry: what publishing and fetching cost beside raw Ray and ``torch.save``.

``--only`` picks parts: publish, fetch, memory, small, remote. All sides of a part run in turn within one process; figures are
the smallest of several rounds. How they grow is in ``registry_growth.py``.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
import torch
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import nn

import raynas
from raynas.nn import LayerChoice
from raynas.runtime import connect, disconnect

SHARD_MB, CANDIDATES, KEYS = 4, 8, 8
LIMITS = {"publish_ratio": (0.35, ">="), "delta_fraction": (0.08, "<="), "fetch_ms": (5.0, "<="), "pss_ratio": (1.1, "<=")}
LIMITS |= {"small_ratio": (3.0, "<=")}
Figures = dict[str, float]


def make_net(keys: int = KEYS, candidates: int = CANDIDATES, megabytes: float = SHARD_MB) -> nn.Module:
    """Choices whose candidates are one matrix each, of so many megabytes."""
    rows = max(1, int(megabytes * 2**20 / 4 / 256))
    choices = (LayerChoice([nn.Linear(256, rows, bias=False) for _ in range(candidates)], key=f"k{key}") for key in range(keys))
    return nn.Sequential(*choices)


def best(rounds: int, work: Mapping[str, Callable[[], Any]], rest: float = 0.2) -> Figures:
    """The smallest seconds of each kind of work, all in turn."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, call in work.items():
            start = time.perf_counter()
            held = call()
            found[name].append(time.perf_counter() - start)
            del held
            time.sleep(rest)  # until Ray has freed what nobody refers to
    return {name: min(seconds) for name, seconds in found.items()}


def publish(rounds: int, keys: int) -> Figures:
    """Publishing all, publishing one changed shard of many, and the same bytes by other means."""
    net = make_net(keys)
    arrays = [parameter.detach().numpy() for parameter in net.parameters()]
    whole = sum(array.nbytes for array in arrays)
    first = next(net.parameters())

    def publish_all() -> None:
        registry = raynas.WeightRegistry("benchmark")
        registry.close()
        registry.publish(net)

    def change_one(changed: Any) -> None:
        with torch.no_grad():
            first[0, 0] += 1
        raynas.WeightRegistry("benchmark").publish(net, changed=changed)

    publish_all()  # the registry's process starts, memory is touched for the first time
    seconds = best(
        rounds,
        {
            "ray_put": lambda: [ray.put(array) for array in arrays],
            "ray_put_dict": lambda: ray.put(dict(enumerate(arrays))),
            "torch_save": lambda: torch.save(net.state_dict(), Path(tempfile.gettempdir()) / "raynas-benchmark.pt"),
            "publish": publish_all,
            "delta": lambda: change_one({"k0": [0]}),
            "delta_all": lambda: change_one(None),
        },
    )
    return {
        "publish_mb_s": round(whole / seconds["publish"] / 1e6),
        "ray_put_mb_s": round(whole / seconds["ray_put"] / 1e6),
        "ray_put_dict_mb_s": round(whole / seconds["ray_put_dict"] / 1e6),
        "torch_save_mb_s": round(whole / seconds["torch_save"] / 1e6),
        "publish_ratio": round(seconds["ray_put"] / seconds["publish"], 3),
        "delta_fraction": round(seconds["delta"] / seconds["publish"], 3),
        "delta_without_changed_fraction": round(seconds["delta_all"] / seconds["publish"], 3),
    }


def fetch(rounds: int, keys: int) -> Figures:
    """One path, and the whole, beside ``ray.get`` and ``torch.load``."""
    net = make_net(keys)
    registry = raynas.WeightRegistry("benchmark-fetch")
    version = registry.publish(net)
    path = raynas.generate_search_space(net).unrank(0)
    refs = [ray.put(parameter.detach().numpy()) for parameter in net.parameters()]
    one = ray.put({name: tensor.numpy() for name, tensor in net.state_dict().items()})
    tensors = ray.put(net.state_dict())
    file = Path(tempfile.gettempdir()) / "raynas-benchmark.pt"
    torch.save(net.state_dict(), file)

    def fetch_cold() -> Any:
        return raynas.WeightRegistry("benchmark-fetch").fetch(path, version=version)

    seconds = best(
        rounds,
        {
            "path": lambda: registry.fetch(path, version=version),
            "path_first": fetch_cold,
            "whole": lambda: registry.fetch(None, version=version),
            "get_shards": lambda: ray.get(refs),
            "get_dict": lambda: ray.get(one),
            "get_tensors": lambda: ray.get(tensors),
            "torch_load": lambda: torch.load(file),
            "torch_load_mmap": lambda: torch.load(file, mmap=True),
        },
        rest=0.02,
    )
    registry.close()
    return {f"fetch_{name}_ms": round(value * 1e3, 2) for name, value in seconds.items()} | {
        "fetch_ms": round(seconds["path_first"] * 1e3, 2)
    }


class Reader:
    """Holds a whole version, and says how much of the store's memory counts as its own."""

    def read(self, name: str, version: int) -> float:
        self.held = raynas.WeightRegistry(name).fetch(None, version=version)
        return float(sum(tensor.sum() for tensor in self.held.values()))

    def pss(self) -> int:
        total, inside = 0, False
        for line in Path("/proc/self/smaps").read_text().splitlines():
            words = line.split()
            if "-" in words[0] and not words[0].endswith(":"):
                inside = "plasma" in line or "/dev/shm" in line
            elif inside and words[0] == "Pss:":
                total += int(words[1]) * 1024
        return total

    def fetch_seconds(self, name: str, version: int, repeats: int) -> float:
        registry = raynas.WeightRegistry(name)
        space = raynas.SearchSpace({f"k{key}": {"_type": "layer_choice", "_value": list("01234567")} for key in range(KEYS)})
        start = time.perf_counter()
        for number in range(repeats):
            registry.fetch(space.unrank(number), version=version)
        return (time.perf_counter() - start) / repeats


def start_reader(**options: Any) -> Any:
    """A ``Reader`` in a process of its own."""
    remote: Any = ray.remote(num_cpus=0, **options)(Reader)
    return remote.remote()


def memory(readers: int, keys: int) -> Figures:
    """The summed PSS of readers of one version, beside one copy."""
    net = make_net(keys)
    registry = raynas.WeightRegistry("benchmark-memory")
    version = registry.publish(net)
    actors = [start_reader() for _ in range(readers)]
    before = sum(ray.get([actor.pss.remote() for actor in actors]))
    ray.get([actor.read.remote("benchmark-memory", version) for actor in actors])
    after = sum(ray.get([actor.pss.remote() for actor in actors]))
    whole = registry.stats().num_bytes
    for actor in actors:
        ray.kill(actor)
    registry.close()
    return {"readers": readers, "pss_mb": round((after - before) / 1e6, 1), "pss_ratio": round((after - before) / whole, 3)}


def small(rounds: int) -> Figures:
    """Two thousand tensors of one kilobyte, beside one object with all of them."""
    choices = (LayerChoice([nn.Linear(16, 16, bias=False) for _ in range(50)], key=f"k{key}") for key in range(40))
    net = nn.Sequential(*choices)
    arrays = {name: tensor.numpy() for name, tensor in net.state_dict().items()}

    def publish_all() -> None:
        registry = raynas.WeightRegistry("benchmark-small")
        registry.close()
        registry.publish(net)

    publish_all()
    seconds = best(
        rounds,
        {
            "one": lambda: ray.put(arrays),
            "each": lambda: [ray.put(array) for array in arrays.values()],
            "publish": publish_all,
            "torch_save": lambda: torch.save(net.state_dict(), io.BytesIO()),
        },
    )
    return {
        "small_tensors": len(arrays),
        "small_publish_ms": round(seconds["publish"] * 1e3, 1),
        "small_one_object_ms": round(seconds["one"] * 1e3, 1),
        "small_each_ms": round(seconds["each"] * 1e3, 1),
        "small_torch_save_ms": round(seconds["torch_save"] * 1e3, 1),
        "small_ratio": round(seconds["publish"] / seconds["one"], 2),
    }


def remote(keys: int) -> Figures:
    """The first fetch of a path from another raylet, and the next ones there."""
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 2 << 30})
    other = cluster.add_node(num_cpus=1, object_store_memory=2 << 30)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    net = make_net(keys)
    registry = raynas.WeightRegistry("benchmark-remote")
    version = registry.publish(net)
    where = NodeAffinitySchedulingStrategy(other.node_id, soft=False)
    reader = start_reader(scheduling_strategy=where)
    ray.get(reader.pss.remote())
    first = ray.get(reader.fetch_seconds.remote("benchmark-remote", version, 1))
    again = ray.get(reader.fetch_seconds.remote("benchmark-remote", version, 1))
    whole_path = keys * SHARD_MB * 2**20
    disconnect()
    cluster.shutdown()
    return {
        "remote_first_ms": round(first * 1e3, 1),
        "remote_first_mb_s": round(whole_path / first / 1e6),
        "remote_again_ms": round(again * 1e3, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute: smaller, fewer rounds")
    parser.add_argument("--only", default="publish,fetch,memory,small,remote")
    parser.add_argument("--check", action="store_true", help="fail where a limit is missed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rounds, keys = (3, 2) if options.quick else (10, KEYS)
    parts: dict[str, Callable[[], Figures]] = {
        "publish": lambda: publish(rounds, keys),
        "fetch": lambda: fetch(rounds, keys),
        "memory": lambda: memory(2 if options.quick else 8, keys),
        "small": lambda: small(rounds),
    }
    figures: Figures = {}
    only = options.only.split(",")
    connect(object_store_bytes=4 << 30)
    for name, part in parts.items():
        if name in only:
            figures |= part()
    disconnect()
    if "remote" in only:
        figures |= remote(keys)
    sys.stdout.write(json.dumps(figures) + "\n")
    missed = [
        name
        for name, (limit, sign) in LIMITS.items()
        if name in figures and not (figures[name] >= limit if sign == ">=" else figures[name] <= limit)
    ]
    if options.check and missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
