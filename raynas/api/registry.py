"""``WeightRegistry``: the registry as users open it, in the object store where there is Ray, in this process where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raynas.api.connection import ray_is_running
from raynas.weights import Registry, ShardStore, local_store


class WeightRegistry(Registry):
    """Versioned weights of one supernet, stored candidate by candidate.

    In a process connected to Ray they lie in its object store, and every process of the cluster that opens the same name
    sees the same versions; elsewhere they lie in this process. A registry can be sent to another process: its name goes.

    Args:
        name: of the registry.
        storage_path: a folder in which every version is mirrored; the newest one is taken from there if none is in memory.

    Raises:
        RegistryError: the mirror is damaged.

    Example:
        >>> from torch import nn
        >>> from raynas.nn import LayerChoice, generate_search_space
        >>> net = nn.Sequential(LayerChoice([nn.Linear(4, 2), nn.Linear(4, 2)], key="op"))
        >>> registry = WeightRegistry("doctest")
        >>> version = registry.publish(net)
        >>> sorted(registry.fetch(generate_search_space(net).unrank(1), version=version))
        ['0.candidates.1.bias', '0.candidates.1.weight']
    """

    def __init__(self, name: str, storage_path: str | Path | None = None) -> None:
        super().__init__(name, _open_store(name), storage_path)

    def __reduce__(self) -> tuple[Any, ...]:
        return WeightRegistry, (self.name, self.storage_path)


def _open_store(name: str) -> ShardStore:
    if ray_is_running():
        from raynas.runtime import open_ray_store

        return open_ray_store(name)
    return local_store(name)
