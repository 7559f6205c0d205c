"""What disturbs a registry: machines that go, processes that are killed. Run as a program, in a cluster of its own."""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import ray
import torch
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import nn

import raynas
from raynas.errors import RegistryError, UnknownVersionError
from raynas.nn import LayerChoice, generate_search_space
from raynas.runtime import connect, disconnect
from raynas.testing.registry_contract import Net, assert_whole

SPACE = generate_search_space(Net())


def large_net() -> nn.Module:
    """Blocks of 400 kB and more: what is much smaller Ray keeps with its owner, whichever machine it was made on."""
    torch.manual_seed(1)
    return nn.Sequential(LayerChoice([nn.Linear(320, 320), nn.Identity()], key="op"), nn.Linear(320, 320))


class Publisher:
    """Publishes from a machine of its own."""

    def publish(self, registry: raynas.WeightRegistry) -> int:
        return registry.publish(large_net())


def on_node(node_id: str, kind: type, **options: Any) -> Any:
    where = NodeAffinitySchedulingStrategy(node_id, soft=False)
    remote: Any = ray.remote(num_cpus=0, scheduling_strategy=where, **options)(kind)
    return remote.remote()


def lose_a_machine(cluster: Any, folder: Path) -> dict[str, Any]:
    """The machine that holds all blocks goes, of a registry with a mirror and of one without."""
    node = cluster.add_node(num_cpus=1)
    mirrored, bare = raynas.WeightRegistry("mirrored", folder / "mirror"), raynas.WeightRegistry("bare")
    publisher = on_node(node.node_id, Publisher)
    versions = ray.get([publisher.publish.remote(registry) for registry in (mirrored, bare)])
    mirrored.flush()
    cluster.remove_node(node)
    start = time.monotonic()
    expected = large_net().state_dict()
    fetched = mirrored.fetch(None, version=versions[0])
    seconds = time.monotonic() - start
    assert fetched.keys() == expected.keys()
    assert all(torch.equal(fetched[name], tensor) for name, tensor in expected.items())
    try:
        bare.fetch(generate_search_space(large_net()).unrank(0), version=versions[1])
    except RegistryError as error:
        return {"seconds_to_recover": round(seconds, 1), "error": str(error)}
    raise AssertionError("weights that were lost were fetched")


class Writer:
    """Publishes and updates without end."""

    def run(self, registry: raynas.WeightRegistry, seed: int, seconds: float) -> int:
        rng, net, deadline, number = random.Random(seed), Net(), time.monotonic() + seconds, 0
        while time.monotonic() < deadline:
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.fill_(rng.random())
            if rng.random() < 0.5:
                registry.publish(net)
            else:
                self.update(registry, rng)
            number += 1
        return number

    def update(self, registry: raynas.WeightRegistry, rng: random.Random) -> None:
        path = SPACE.sample(rng)
        try:
            with registry.lease() as version:
                trained = {name: tensor + 1 for name, tensor in registry.fetch(path, version=version, copy=True).items()}
                registry.update(path, trained, version, merge="average")
        except UnknownVersionError:
            return  # nothing was published yet, or nothing that is left after the registry's process was killed


class Checker:
    """Reads without end; every byte that it gets must be that of its version."""

    def run(self, registry: raynas.WeightRegistry, seconds: float) -> int:
        deadline, number = time.monotonic() + seconds, 0
        while time.monotonic() < deadline:
            try:
                with registry.lease() as version:
                    assert_whole(registry, version)
                    number += 1
            except UnknownVersionError:
                time.sleep(0.05)
        return number


def disturb(folder: Path, seconds: float) -> dict[str, Any]:
    """Four writers and eight readers; every few seconds one of them, or the registry's own process, is killed."""
    registry = raynas.WeightRegistry("disturbed", folder / "disturbed", share=True)
    registry.publish(Net())
    registry.flush()
    rng, deadline = random.Random(0), time.monotonic() + seconds
    counts = {"reads": 0, "writes": 0, "kills": 0}
    running: dict[Any, tuple[Any, str, int]] = {}

    def start(kind: str, seed: int) -> None:
        left = max(1.0, deadline - time.monotonic())
        actor = ray.remote(num_cpus=0)(Writer if kind == "writes" else Checker).remote()
        arguments = (registry, seed, left) if kind == "writes" else (registry, left)
        running[actor.run.remote(*arguments)] = (actor, kind, seed)

    for seed in range(12):
        start("writes" if seed < 4 else "reads", seed)
    while running:
        done, _ = ray.wait(list(running), timeout=rng.uniform(2, 4))
        for ref in done:
            _, kind, _ = running.pop(ref)
            counts[kind] += ray.get(ref)  # raises what went wrong
        if not done and time.monotonic() < deadline - 5:
            victim = rng.choice([None, *running])
            counts["kills"] += 1
            if victim is None:
                ray.kill(registry._store._actor, no_restart=False)
            else:
                actor, kind, seed = running.pop(victim)
                ray.kill(actor)
                start(kind, seed)
    registry.flush()
    assert_whole(registry, registry.newest())
    stats = registry.stats()
    registry.close()
    return {**counts, "newest": max(registry.versions(), default=0), "clashes": stats.clashes}


def main(folder: Path, seconds: float) -> None:
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    os.environ["RAY_ADDRESS"] = cluster.address
    connect()
    figures = disturb(folder, seconds) if seconds else lose_a_machine(cluster, folder)
    (folder / "figures.json").write_text(json.dumps(figures))
    disconnect()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
