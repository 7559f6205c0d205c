"""``ShardStore``: who keeps blocks and manifests. The one here keeps them in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from raynas.errors import UnknownVersionError
from raynas.weights.shards import Block, Manifest, Shard


class ShardStore(Protocol):
    """What a registry needs of the place where its blocks lie. Versions and blocks never change once they are there."""

    def known(self, digests: Sequence[str]) -> set[str]:
        """Which of these blocks are here already."""
        ...

    def commit(self, shards: Sequence[Shard], blocks: Mapping[str, Block], *, version: int | None = None) -> int:
        """Add a version, all of it or nothing; ``blocks`` by digest has those that ``known`` did not name.

        Args:
            shards: of the version.
            blocks: see above.
            version: its number, where it comes back from a mirror; ``None``: one more than the newest.

        Raises:
            NoRoomError: the blocks do not fit; nothing was stored.
        """
        ...

    def versions(self) -> list[int]:
        """The versions that are here, ascending."""
        ...

    def manifest(self, version: int) -> Manifest:
        """The shards of a version. Raises ``UnknownVersionError`` if it is not here."""
        ...

    def read(self, version: int, digests: Sequence[str]) -> list[Block]:
        """Blocks of a version, read-only, over the store's own memory."""
        ...

    def close(self) -> None:
        """Drop everything."""
        ...


class LocalStore:
    """Keeps everything in this process."""

    def __init__(self) -> None:
        self._blocks: dict[str, Block] = {}
        self._manifests: dict[int, Manifest] = {}

    def known(self, digests: Sequence[str]) -> set[str]:
        return self._blocks.keys() & set(digests)

    def commit(self, shards: Sequence[Shard], blocks: Mapping[str, Block], *, version: int | None = None) -> int:
        for block in blocks.values():
            block.flags.writeable = False
        self._blocks.update(blocks)
        version = max(self._manifests, default=0) + 1 if version is None else version
        self._manifests[version] = Manifest(version, tuple(shards))
        return version

    def versions(self) -> list[int]:
        return sorted(self._manifests)

    def manifest(self, version: int) -> Manifest:
        try:
            return self._manifests[version]
        except KeyError:
            raise UnknownVersionError(f"version {version} is not in the registry; it has {self.versions()}") from None

    def read(self, version: int, digests: Sequence[str]) -> list[Block]:
        return [self._blocks[digest] for digest in digests]

    def close(self) -> None:
        self._blocks.clear()
        self._manifests.clear()


_STORES: dict[str, LocalStore] = {}


def local_store(name: str) -> LocalStore:
    """The store of that name in this process; made if it is not there."""
    return _STORES.setdefault(name, LocalStore())
