"""``Registry``: versioned weights, stored candidate by candidate. Where the bytes lie is up to its store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from raynas.errors import RegistryError, UnknownVersionError
from raynas.nn import choice_places, generate_search_space, transplant
from raynas.space import Architecture
from raynas.weights.mirror import Mirror
from raynas.weights.shards import Block, Manifest, Shard, make_shards
from raynas.weights.store import ShardStore
from raynas.weights.views import view_tensors


class Registry:
    """Publishes and fetches versions of one supernet's weights.

    Args:
        name: of the registry.
        store: where the blocks lie.
        storage_path: a folder in which every version is mirrored; the newest one is taken from there if the store is empty.

    Raises:
        RegistryError: the mirror is damaged.
    """

    def __init__(self, name: str, store: ShardStore, storage_path: str | Path | None = None) -> None:
        self.name, self.storage_path = name, str(storage_path) if storage_path is not None else None
        self._store = store
        self._mirror = Mirror(Path(storage_path)) if storage_path is not None else None
        self._manifests: dict[int, Manifest] = {}
        if self._mirror is not None and not store.versions() and self._mirror.versions():
            self._restore(self._mirror)

    def publish(self, model: nn.Module) -> int:
        """Store the weights of ``model`` as a new version; only shards that changed are stored again.

        Returns:
            The version; each is larger than the one before.

        Raises:
            RegistryError: another model was published under this name; the message names the tensors that differ.
            NoRoomError: the store is too small; nothing was stored.
        """
        made = make_shards(model)
        shards = [shard for shard, _ in made]
        if self._store.versions():
            self._check_same_model(shards)
        blocks = {shard.digest: block for shard, block in made}
        known = self._store.known(list(blocks))
        new = {digest: block for digest, block in blocks.items() if digest not in known}
        version = self._store.commit(shards, new, version=self._after_the_mirror())
        if self._mirror is not None:
            self._mirror.write(Manifest(version, tuple(shards)), blocks)
        return version

    def versions(self) -> list[int]:
        """The versions that can be fetched, ascending."""
        return self._store.versions()

    def newest(self) -> int:
        """The newest version.

        Raises:
            UnknownVersionError: nothing was published yet.
        """
        versions = self.versions()
        if not versions:
            raise UnknownVersionError(
                f"registry {self.name!r} holds no weights; publish some first, with raynas.train_supernet(task, "
                f"registry={self.name!r}) or the command raynas supernet FILE"
            )
        return versions[-1]

    def fetch(self, architecture: Architecture, *, version: int | None = None, copy: bool = False) -> dict[str, Tensor]:
        """The tensors of one architecture: what it has chosen, and what lies outside all choices.

        They lie over the store's own memory, which every reader shares: **do not write to them**. Buffers are always
        private copies.

        Args:
            architecture: of the supernet's space.
            version: the newest one if ``None``.
            copy: whether all tensors are private copies.

        Returns:
            Tensors by the supernet's ``state_dict`` names.

        Raises:
            UnknownVersionError: there is no such version; the message lists those that are there.
        """
        version = self.newest() if version is None else version
        shards = [shard for shard in self._manifest(version).shards if _is_on_path(shard, architecture)]
        blocks = self._store.read(version, [shard.digest for shard in shards])
        tensors: dict[str, Tensor] = {}
        for shard, block in zip(shards, blocks, strict=True):
            tensors |= view_tensors(block, shard.tensors, copy=copy)
        return tensors

    def frozen(self, model: nn.Module, architecture: Mapping[str, Any], *, version: int | None = None) -> nn.Module:
        """The plain model of one architecture over the store's memory: nothing is copied but buffers.

        Args:
            model: the supernet's skeleton; its weights do not matter and stay as they are.
            architecture: of its space.
            version: the newest one if ``None``.
        """
        chosen = Architecture.from_dict(generate_search_space(model), architecture)
        return transplant(model, choice_places(model), chosen, self.fetch(chosen, version=version))

    def close(self) -> None:
        """Drop everything that the store holds; the mirror stays."""
        self._manifests.clear()
        self._store.close()

    def _after_the_mirror(self) -> int | None:
        """The next version of a registry whose versions are on disk only, as after ``close``."""
        if self._mirror is None or self._store.versions():
            return None
        return max(self._mirror.versions(), default=0) + 1

    def _manifest(self, version: int) -> Manifest:
        if version not in self._manifests:
            self._manifests[version] = self._store.manifest(version)
        return self._manifests[version]

    def _check_same_model(self, shards: list[Shard]) -> None:
        known = {name: (entry.shape, entry.dtype) for name, entry in self._manifest(self.newest()).tensors().items()}
        found = {name: (entry.shape, entry.dtype) for name, entry in Manifest(0, tuple(shards)).tensors().items()}
        differing = sorted(name for name in {*known, *found} if known.get(name) != found.get(name))
        if differing:
            name = differing[0]
            raise RegistryError(
                f"registry {self.name!r} holds another model: {len(differing)} tensors differ, the first is {name!r}: "
                f"found {found.get(name)}, expected {known.get(name)}; publish under another name"
            )

    def _restore(self, mirror: Mirror) -> None:
        manifest = mirror.manifest(mirror.versions()[-1])
        blocks: dict[str, Block] = {shard.digest: mirror.read(shard) for shard in manifest.shards}
        self._store.commit(manifest.shards, blocks, version=manifest.version)


def _is_on_path(shard: Shard, architecture: Architecture) -> bool:
    chosen = architecture.indices
    return all(key in chosen and not set(indices).isdisjoint(chosen[key]) for key, indices in shard.owner)
