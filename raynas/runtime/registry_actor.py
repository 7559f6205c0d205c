"""``RayStore``: a shard store whose blocks lie in Ray's object store and outlive whoever published them.

Bytes that a process puts die with it. So a named actor, the registry's, takes the blocks over: it calls a small task on the
publisher's machine that returns them, and thereby owns the copy, which never leaves that machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raynas.errors import NoRoomError, UnknownVersionError
from raynas.runtime.cluster import AT_DISCONNECT
from raynas.weights import Block, Manifest, Shard, ShardStore

_HANDLES: dict[str, Any] = {}  # an actor that is not detached lives as long as its creator's handle
AT_DISCONNECT.append(_HANDLES.clear)


class RegistryActor:
    """Knows where every block is, and owns it."""

    def __init__(self) -> None:
        self._refs: dict[str, Any] = {}
        self._num_bytes: dict[str, int] = {}
        self._manifests: dict[int, dict[str, Any]] = {}

    def known(self, digests: list[str]) -> set[str]:
        return self._refs.keys() & set(digests)

    def num_bytes(self) -> int:
        return sum(self._num_bytes.values())

    def commit(self, manifest: dict[str, Any], refs: dict[str, Any], node_id: str) -> int:
        """Take the blocks over, then add the version."""
        if refs:
            where = NodeAffinitySchedulingStrategy(node_id, soft=False)
            remote = ray.remote(num_cpus=0)(take_over)
            taken = remote.options(num_returns=len(refs), scheduling_strategy=where).remote(*refs.values())
            owned = list(taken) if len(refs) > 1 else [taken]
            ray.wait(owned, num_returns=len(owned), fetch_local=False)
            self._refs.update(zip(refs, owned, strict=True))
        version: int = manifest["version"] or max(self._manifests, default=0) + 1
        self._manifests[version] = {**manifest, "version": version}
        self._num_bytes |= {shard["digest"]: shard["num_bytes"] for shard in manifest["shards"]}
        return version

    def versions(self) -> list[int]:
        return sorted(self._manifests)

    def manifest(self, version: int) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The manifest and its references; ``None`` if the version is not here."""
        manifest = self._manifests.get(version)
        if manifest is None:
            return None
        return manifest, {shard["digest"]: self._refs[shard["digest"]] for shard in manifest["shards"]}

    def close(self) -> None:
        self._refs.clear()
        self._num_bytes.clear()
        self._manifests.clear()


def take_over(*blocks: Block) -> Any:
    """Return the blocks: so they belong to the caller."""
    return blocks if len(blocks) > 1 else blocks[0]


class RayStore:
    """The client's side; see the module.

    Args:
        actor: a handle of the ``RegistryActor``.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._refs: dict[int, dict[str, Any]] = {}

    def known(self, digests: Sequence[str]) -> set[str]:
        known: set[str] = ray.get(self._actor.known.remote(list(digests)))
        return known

    def commit(self, shards: Sequence[Shard], blocks: Mapping[str, Block], *, version: int | None = None) -> int:
        self._check_room(sum(block.nbytes for block in blocks.values()))
        manifest = Manifest(version or 0, tuple(shards)).to_dict()
        refs = {digest: ray.put(block) for digest, block in blocks.items()}
        node_id = ray.get_runtime_context().get_node_id()
        committed: int = ray.get(self._actor.commit.remote(manifest, refs, node_id))
        return committed

    def versions(self) -> list[int]:
        versions: list[int] = ray.get(self._actor.versions.remote())
        return versions

    def manifest(self, version: int) -> Manifest:
        found = ray.get(self._actor.manifest.remote(version))
        if found is None:
            raise UnknownVersionError(f"version {version} is not in the registry; it has {self.versions()}")
        manifest, self._refs[version] = found
        return Manifest.from_dict(manifest)

    def read(self, version: int, digests: Sequence[str]) -> list[Block]:
        if version not in self._refs:
            self.manifest(version)
        blocks: list[Block] = ray.get([self._refs[version][digest] for digest in digests])
        return [np.asarray(block) for block in blocks]

    def close(self) -> None:
        self._refs.clear()
        ray.get(self._actor.close.remote())

    def _check_room(self, num_bytes: int) -> None:
        here = ray.get_runtime_context().get_node_id()
        nodes = ray.nodes()
        room = next(node["Resources"].get("object_store_memory", 0) for node in nodes if node["NodeID"] == here)
        needed = 2 * num_bytes + ray.get(self._actor.num_bytes.remote())  # twice while the registry takes them over
        if needed > room:
            raise NoRoomError(
                f"publishing needs {needed / 1e6:.0f} MB of object store on this machine, which has {room / 1e6:.0f} MB; "
                "raise it with --object-store-memory (raynas run, ray start) or ray.init(object_store_memory=...)"
            )


def open_ray_store(name: str) -> ShardStore:
    """The store of that name in this cluster; the first to open it keeps it alive."""
    if name not in _HANDLES:
        remote = ray.remote(num_cpus=0)(RegistryActor)
        _HANDLES[name] = remote.options(name=f"raynas-registry-{name}", get_if_exists=True).remote()
    return RayStore(_HANDLES[name])
