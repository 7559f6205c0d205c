"""``LocalStore``: a shard store in this process."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from raynas.errors import RegistryError, UnknownVersionError
from raynas.storage import Storage
from raynas.weights.blocks import Block
from raynas.weights.layout import Layout
from raynas.weights.manifest import Manifest
from raynas.weights.mirror import Mirror
from raynas.weights.store import KEEP, Wanted
from raynas.weights.version_table import RegistryStats, VersionTable


class LocalStore:
    """Keeps everything in this process. The mirror, if there is one, is written before a version can be seen.

    Args:
        storage: in which versions are mirrored; the newest whole one is taken from there.
        keep: how many versions that nobody uses stay.
        name: of the registry, for messages.

    Raises:
        RegistryError: there are versions in the mirror, and none of them is whole.
    """

    def __init__(self, storage: Storage | None = None, *, keep: int = KEEP, name: str = "") -> None:
        self.storage = storage
        self._lock = threading.RLock()
        self._table = VersionTable[Block](keep, name)
        self._mirror = Mirror(storage) if storage is not None else None
        if self._mirror is not None:
            self._restore(self._mirror)

    @property
    def place(self) -> str | None:
        """Where the mirror is."""
        return self.storage.place if self.storage is not None else None

    def begin(self, layout: Layout, *, share: bool = False, num_bytes: int = 0) -> LocalUpload:
        with self._lock:
            return LocalUpload(self, *self._table.begin(layout, "this process", share=share), self._table.newest)

    def versions(self) -> list[int]:
        with self._lock:
            return self._table.versions()

    def manifest(self, version: int | None = None, wanted: Wanted | None = None) -> Manifest:
        with self._lock:
            return self._table.manifest(version)

    def read(self, manifest: Manifest, numbers: Sequence[int]) -> list[Block]:
        with self._lock:
            return [self._read(manifest, number) for number in numbers]

    def home(self) -> str | None:
        return None

    def lease(self, version: int, seconds: float) -> str:
        with self._lock:
            return self._table.lease(version, seconds)

    def renew(self, lease: str, version: int, seconds: float) -> None:
        with self._lock:
            self._table.renew(lease, version, seconds)

    def release(self, lease: str) -> None:
        with self._lock:
            self._table.release(lease)
            self._tidy()

    def delete(self, version: int) -> None:
        with self._lock:
            self._table.delete(version)
            if self._mirror is not None:
                self._mirror.forget(version, self._manifests())

    def count_clashes(self, number: int) -> None:
        with self._lock:
            self._table.count_clashes(number)

    def stats(self) -> RegistryStats:
        with self._lock:
            mirrored = self._mirror.versions() if self._mirror is not None else []
            return replace(self._table.stats(), mirrored=max(mirrored, default=None))

    def flush(self) -> None:
        """Nothing: every version is there already."""

    def close(self) -> None:
        with self._lock:
            self._table.clear(self._table.next_version if self._mirror is not None else 1)

    def _restore(self, mirror: Mirror) -> None:
        """Take the newest whole version from the mirror; older ones are read when they are asked for."""
        found = mirror.read_newest()
        if found is None:
            return
        newest, blocks = found
        for version in mirror.versions():
            if version < newest.version:
                try:
                    self._table.insert(mirror.manifest(version), {})
                except RegistryError:
                    continue  # damaged, and nobody has asked for it
        self._table.insert(newest, blocks)
        self._table.next_version = mirror.next_version()

    def _read(self, manifest: Manifest, number: int) -> Block:
        digest = manifest.blocks[number]
        held = self._table.handles([digest])
        if not held and manifest.version not in self._table.versions():
            raise UnknownVersionError(f"version {manifest.version} was dropped; with a lease it would have stayed")
        if not held:
            assert self._mirror is not None
            held = {digest: _read_only(self._mirror.read(manifest.layout.packs[number], manifest.digests[number]))}
            self._table.replace(digest, held[digest])
        return held[digest]

    def add(self, upload: str, blocks: Mapping[str, Block]) -> None:
        """Keep copies of blocks for an upload."""
        kept = {digest: _read_only(block.copy()) for digest, block in blocks.items()}
        with self._lock:
            self._table.add(upload, kept)

    def commit(self, upload: str, changed: Mapping[int, tuple[str, ...]], seen: Mapping[int, str]) -> int | None:
        """Add a version; see ``VersionTable.commit``."""
        with self._lock:
            version = self._table.commit(upload, changed, seen)
            if version is not None and self._mirror is not None:
                try:
                    self._write(self._mirror, self._table.manifest(version))
                except BaseException:
                    self._table.drop(version)  # so that it is nowhere
                    raise
                self._tidy()
            return version

    def _write(self, mirror: Mirror, manifest: Manifest) -> None:
        for number, (pack, digests) in enumerate(zip(manifest.layout.packs, manifest.digests, strict=True)):
            mirror.write_block(pack, digests, self._read(manifest, number))
        mirror.write_manifest(manifest)

    def _tidy(self) -> None:
        """Delete from the mirror what the table has dropped, and nothing that another process may have written."""
        here = self._table.versions()
        if self._mirror is None or not here or not self._mirror.is_claimed():
            return
        for version in set(self._mirror.versions()) - set(here):
            self._mirror.forget(version, self._manifests())

    def _manifests(self) -> list[Manifest]:
        return [self._table.manifest(version) for version in self._table.versions()]


class LocalUpload:
    """An ``Upload`` into a ``LocalStore``."""

    def __init__(self, store: LocalStore, name: str, known: set[str], newest: int) -> None:
        self.known, self.newest = known, newest
        self._store, self._name = store, name

    def add(self, blocks: Mapping[str, Block]) -> None:
        self._store.add(self._name, blocks)

    def commit(self, changed: Mapping[int, tuple[str, ...]], seen: Mapping[int, str] | None = None) -> int | None:
        return self._store.commit(self._name, changed, seen or {})


_STORES: dict[str, LocalStore] = {}


def open_local_store(name: str, storage: Storage | None = None, *, keep: int = KEEP, share: bool = False) -> LocalStore:
    """The store of that name in this process; made if it is not there, or if it is empty and other storage is given.

    Raises:
        RegistryError: as for ``LocalStore``; or the store is mirrored elsewhere, and is not shared.
    """
    known = _STORES.get(name)
    if known is None or (storage is not None and not known.versions()):
        _STORES[name] = known = LocalStore(storage, keep=keep, name=name)
    elif storage is not None and storage.place != known.place and not share:
        raise mirrored_elsewhere(name, known.place)
    return known


def mirrored_elsewhere(name: str, place: str | None) -> RegistryError:
    """The error of whoever opens a registry of somebody else."""
    where = f"is mirrored in {place}" if place is not None else "is not mirrored"
    return RegistryError(
        f"there is a registry {name!r} already, and it {where}: open yours under another name, or that one with share=True"
    )


def _read_only(block: Block) -> Block:
    block.flags.writeable = False
    return block
