"""``ShardStore``: what a registry needs of whoever keeps its blocks and versions. One that does is in ``local_store``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from raynas.weights.blocks import Block
from raynas.weights.layout import Layout
from raynas.weights.manifest import Manifest
from raynas.weights.version_table import RegistryStats

Wanted = Callable[[Layout], Iterable[int]]
KEEP = 3  # versions that stay by default, beside those in use


class Upload(Protocol):
    """A version on its way into a store.

    Attributes:
        known: digests of blocks that are there already, and stay at least as long as this.
        newest: the newest version, 0 if there is none.
    """

    known: set[str]
    newest: int

    def add(self, blocks: Mapping[str, Block]) -> None:
        """Bring blocks, by digest. They are copied before this returns. Raises ``NoRoomError`` if they do not fit."""
        ...

    def commit(self, changed: Mapping[int, tuple[str, ...]], seen: Mapping[int, str] | None = None) -> int | None:
        """Add the version; see ``VersionTable.commit``."""
        ...


class ShardStore(Protocol):
    """What a registry needs of the place where its blocks lie. Versions and blocks never change once they are there."""

    def begin(self, layout: Layout, *, share: bool = False, num_bytes: int = 0) -> Upload:
        """Begin to add a version.

        Args:
            layout: of the weights.
            share: whether the registry may belong to another run.
            num_bytes: how much may be brought at most.

        Raises:
            RegistryError: the registry holds another model, or belongs to another run.
            NoRoomError: so much does not fit; nothing was stored.
        """
        ...

    def versions(self) -> list[int]:
        """The versions that are here, ascending."""
        ...

    def manifest(self, version: int | None = None, wanted: Wanted | None = None) -> Manifest:
        """A version.

        Args:
            version: which one; the newest if ``None``.
            wanted: gives, of the layout, the packs that will be read of it; they may come along.

        Raises:
            UnknownVersionError: it is not here.
        """
        ...

    def read(self, manifest: Manifest, numbers: Sequence[int]) -> list[Block]:
        """Blocks of some packs of a version, read-only, over the store's own memory.

        Raises:
            RegistryError: a block was lost, or read again and found damaged; the shards are named.
        """
        ...

    def home(self) -> str | None:
        """Ray's id of the machine with most of the newest version; ``None`` where there is no such thing."""
        ...

    def lease(self, version: int, seconds: float) -> str:
        """Keep a version for so many seconds at least; gives the name of the lease."""
        ...

    def renew(self, lease: str, version: int, seconds: float) -> None:
        """Keep it longer."""
        ...

    def release(self, lease: str) -> None:
        """The version is not needed any more."""
        ...

    def delete(self, version: int) -> None:
        """Drop a version now, from the mirror too; see ``VersionTable.delete``."""
        ...

    def count_clashes(self, number: int) -> None:
        """Count shards that two updates changed at once."""
        ...

    def stats(self) -> RegistryStats:
        """What is here."""
        ...

    def flush(self) -> None:
        """Wait until every version is in the mirror, if there is one. Raises ``RegistryError`` if one could not be written."""
        ...

    def close(self) -> None:
        """Drop everything; the mirror stays."""
        ...
