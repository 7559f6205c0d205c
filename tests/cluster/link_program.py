"""Fetching weights over a link: run as a program on the head; the weights lie on another host. Arguments: the folder."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import nn

import raynas
from raynas.nn import LayerChoice


def net() -> nn.Module:
    """Eight choices of four candidates of 1.3 MB: smaller ones would share an object."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(LayerChoice([nn.Linear(512, 640, bias=False) for _ in range(4)], key=f"k{number}") for number in range(8))
    )


class Publisher:
    """Publishes from its own host."""

    def publish(self, registry: raynas.WeightRegistry) -> int:
        return registry.publish(net())


def main(folder: Path) -> None:
    raynas.connect("auto")
    nodes = {node["NodeManagerHostname"]: node["NodeID"] for node in ray.nodes() if node["Alive"]}
    registry = raynas.WeightRegistry("link")
    there = NodeAffinitySchedulingStrategy(nodes[max(nodes)], soft=False)
    publisher: Any = ray.remote(num_cpus=0, scheduling_strategy=there)(Publisher)
    version = ray.get(publisher.remote().publish.remote(registry))
    space = raynas.generate_search_space(net())
    seconds = {}
    for name, architecture in (("path", space.unrank(0)), ("whole", None)):  # a quarter of all, and then the rest
        start = time.perf_counter()
        registry.fetch(architecture, version=version)
        seconds[f"fetch_{name}_ms"] = round(1e3 * (time.perf_counter() - start), 1)
    whole = registry.stats().num_bytes
    (folder / "link.json").write_text(json.dumps({**seconds, "whole_mb": round(whole / 1e6, 1)}))
    raynas.disconnect()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
