"""A search on several hosts; run as a program on one of them. Arguments: what, the folder, the number of trials."""

from __future__ import annotations

import functools
import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import raynas

SPACE = raynas.SearchSpace({f"k{i}": {"_type": "choice", "_value": [0, 1, 2]} for i in range(8)})


def sleep(folder: Path, seconds: float, trial: raynas.Trial) -> None:
    """A trial that takes its time, and leaves where it was."""
    time.sleep(0.02 if (folder / "hurry").exists() else seconds)
    with (folder / "ran").open("a") as file:
        file.write(f"{trial.id} {socket.gethostname()}\n")
    trial.report(accuracy=trial.id)


class Inheriting:
    """A trial that looks at every weight of its architecture, as they were published."""

    def __init__(self, folder: Path, registry: raynas.WeightRegistry, version: int) -> None:
        self.folder, self.registry, self.version = folder, registry, version

    def evaluate(self, trial: raynas.Trial) -> None:
        registry = raynas.WeightRegistry(self.registry.name, self.registry.storage_path)  # as a new process would find them
        tensors = registry.fetch(trial.architecture, version=self.version)
        total = sum(float(tensor.double().sum()) for tensor in tensors.values())
        sleep(self.folder, 0.3, trial)
        trial.report(accuracy=total)


class Publisher:
    """Publishes from its own host."""

    def publish(self, registry: raynas.WeightRegistry) -> int:
        return registry.publish(large_net())


def large_net() -> Any:
    """Blocks that Ray keeps where they were made."""
    import torch
    from torch import nn

    from raynas.nn import LayerChoice

    torch.manual_seed(1)
    choices = [
        LayerChoice([nn.Linear(320, 320), nn.Linear(320, 320, bias=False), nn.Identity()], key=f"k{i}") for i in range(8)
    ]
    return nn.Sequential(*choices)


def inheriting(folder: Path) -> Inheriting:
    """Weights that lie on the last host alone, and in a mirror."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = {node["NodeManagerHostname"]: node["NodeID"] for node in ray.nodes() if node["Alive"]}
    registry = raynas.WeightRegistry("hosts", folder / "mirror")
    there = NodeAffinitySchedulingStrategy(nodes[max(nodes)], soft=False)
    remote: Any = ray.remote(num_cpus=0, scheduling_strategy=there)(Publisher)
    version = ray.get(remote.remote().publish.remote(registry))
    registry.flush()
    return Inheriting(folder, registry, version)


def main(what: str, folder: Path, num_trials: int) -> None:
    raynas.connect("auto")
    evaluate: Any = functools.partial(sleep, folder, 0.3)
    space = SPACE
    if what == "inherit":
        evaluate, space = inheriting(folder), raynas.generate_search_space(large_net())
    (folder / "begun").touch()
    result = raynas.search(
        space, evaluate, searcher="random", num_trials=num_trials, engine="pool", storage_path=folder, name=what, resume=True
    )
    states = result.trials.column("state").to_pylist()
    figures = {"ids": result.trials.column("id").to_pylist(), "states": sorted(set(states))}
    (folder / "figures.json").write_text(json.dumps(figures))
    raynas.disconnect()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
