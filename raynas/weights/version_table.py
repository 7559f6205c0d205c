"""``VersionTable``: which versions there are, who uses them, and which blocks that takes. Where blocks lie is not known here.

Every store keeps its versions in one of these, so all of them behave alike. It is used from one thread.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from raynas.errors import RegistryError, UnknownVersionError, UploadLostError
from raynas.weights.layout import Layout
from raynas.weights.manifest import Digests, Manifest

Handle = TypeVar("Handle")
LOST = "the registry has lost the version that this one was made from; publish all of the weights"
UPLOAD_SECONDS = 600.0  # after which an upload that nobody goes on with is forgotten
REMEMBERED = 1_000  # uploads whose version is remembered, in case that their answer got lost


@dataclass(frozen=True)
class RegistryStats:
    """What a registry holds and has done.

    Attributes:
        num_bytes: of all blocks that its versions need, each counted once.
        num_blocks, num_shards, num_versions: how many of them.
        num_leased: versions that are in use.
        stored, reused, clashes: shards that publishing stored, that it found there, that two updates changed at once.
        spilled_bytes: what this machine's object store has written to disk for want of room, of whatever kind; 0 without Ray.
        mirrored: the newest version on disk, ``None`` without one.
    """

    num_bytes: int = 0
    num_blocks: int = 0
    num_shards: int = 0
    num_versions: int = 0
    num_leased: int = 0
    stored: int = 0
    reused: int = 0
    clashes: int = 0
    spilled_bytes: int = 0
    mirrored: int | None = None


@dataclass
class _Upload(Generic[Handle]):
    layout: Layout
    owner: str
    share: bool
    used_at: float
    blocks: dict[str, Handle] = field(default_factory=dict)


class VersionTable(Generic[Handle]):
    """Versions with their leases, and a handle for each block.

    Args:
        keep: how many of the versions that nobody uses stay, the newest ones.
        name: of the registry, for messages.
    """

    def __init__(self, keep: int, name: str = "") -> None:
        self.keep, self.name = keep, name
        self.clear(1)

    def clear(self, next_version: int) -> None:
        """Drop everything, also whose the registry is and of which model."""
        self.layout: Layout | None = None
        self.owner: str | None = None
        self.next_version = next_version
        self._versions: dict[int, Manifest] = {}
        self._blocks: dict[str, Handle] = {}
        self._users: Counter[str] = Counter()  # versions by block
        self._leases: dict[str, tuple[int, float]] = {}  # version and deadline
        self._uploads: dict[str, _Upload[Handle]] = {}
        self._committed: dict[str, int] = {}
        self._stored = self._reused = self._clashes = 0
        self._keep_old_until = 0.0
        self._own: set[int] = set()  # versions that were added here: all of their leases are known

    @property
    def newest(self) -> int:
        """The newest version, 0 if there is none."""
        return max(self._versions, default=0)

    def num_bytes(self, *, here: bool = False) -> int:
        """Of all blocks that its versions need, each counted once; or of those among them that are ``here``."""
        sizes = {digest: size for each in self._versions.values() for digest, size in each.num_bytes.items()}
        return sum(size for digest, size in sizes.items() if not here or digest in self._blocks)

    def wait_for_leases(self, seconds: float) -> None:
        """Drop nothing for so long of what was here before: leases from then are renewed meanwhile."""
        self._keep_old_until = time.monotonic() + seconds

    # --- publishing ------------------------------------------------------------------------------------------------

    def begin(self, layout: Layout, owner: str, *, share: bool = False) -> tuple[str, set[str]]:
        """Begin an upload. Whose the registry is, and of which model, is settled by the first version that is added.

        Args:
            layout: of the weights.
            owner: who publishes.
            share: whether the registry may belong to somebody else.

        Returns:
            Its name, and the digests of blocks that are here already and stay for it: those of the newest version.

        Raises:
            RegistryError: the registry holds another model, or belongs to somebody else.
        """
        self._check(layout, owner, share=share)
        now = time.monotonic()
        self._uploads = {name: each for name, each in self._uploads.items() if now - each.used_at < UPLOAD_SECONDS}
        upload = uuid.uuid4().hex
        held = self.handles(self.manifest().blocks) if self._versions else {}
        self._uploads[upload] = _Upload(layout, owner, share, now, held)
        return upload, set(held)

    def add(self, upload: str, blocks: Mapping[str, Handle]) -> None:
        """Bring blocks for this upload."""
        found = self._upload(upload)
        found.blocks |= blocks
        found.used_at = time.monotonic()

    def commit(self, upload: str, changed: Mapping[int, tuple[str, ...]], seen: Mapping[int, str]) -> int | None:
        """Add a version, all of it or nothing.

        Args:
            upload: which brought the blocks.
            changed: digests of the shards of those packs, by number, that are new; the others are as in the newest version.
            seen: digests of blocks, by number of the pack, that the newest version must have; else nothing is done.

        Returns:
            Its number; ``None`` if another update came first.

        Raises:
            UploadLostError: the upload is not known here, or what it was to change is not.
            RegistryError: the first version was added meanwhile, and is another model's or somebody else's.
        """
        if upload in self._committed:
            return self._committed[upload]  # asked for again because the first answer got lost
        newest = self._versions.get(self.newest)
        if any(newest is None or newest.blocks[number] != digest for number, digest in seen.items()):
            self._uploads.pop(upload, None)  # its blocks need not wait until it expires
            return None
        found = self._upload(upload)
        self._check(found.layout, found.owner, share=found.share)
        brought, num_packs = found.blocks, len(found.layout.packs)
        if newest is None and len(changed) < num_packs:
            raise UploadLostError(LOST)
        before = newest.digests if newest is not None else ()
        digests: Digests = tuple(changed[number] if number in changed else before[number] for number in range(num_packs))
        manifest = Manifest(self.next_version, self.layout or found.layout, digests)
        if any(digest not in brought and digest not in self._users for digest in manifest.blocks):
            raise RegistryError("a version was to be added without all of its blocks")
        self._count(manifest, brought)
        self.owner = self.owner or found.owner
        self._own.add(manifest.version)
        self.insert(manifest, brought)
        del self._uploads[upload]
        self._committed[upload] = manifest.version
        while len(self._committed) > REMEMBERED:
            del self._committed[next(iter(self._committed))]
        return manifest.version

    def count_clashes(self, number: int) -> None:
        """Count shards that two updates changed at once."""
        self._clashes += number

    def insert(self, manifest: Manifest, blocks: Mapping[str, Handle]) -> None:
        """Add a version with its number, as from a mirror; ``blocks`` has at least those that are not here yet, or can be
        brought later."""
        self.layout = self.layout or manifest.layout
        self._versions[manifest.version] = manifest
        self.next_version = max(self.next_version, manifest.version + 1)
        for digest in set(manifest.blocks):
            self._users[digest] += 1
            if digest not in self._blocks and digest in blocks:
                self._blocks[digest] = blocks[digest]
        self.prune()

    # --- reading ---------------------------------------------------------------------------------------------------

    def versions(self) -> list[int]:
        """The versions that are here, ascending."""
        return sorted(self._versions)

    def manifest(self, version: int | None = None) -> Manifest:
        """A version; the newest one if ``None``. Raises ``UnknownVersionError`` if it is not here."""
        if version is None and self._versions:
            version = self.newest
        if version not in self._versions:
            raise UnknownVersionError(f"version {version} is not in the registry; it has {self.versions()}")
        return self._versions[version]

    def handles(self, digests: Iterable[str]) -> dict[str, Handle]:
        """Handles by digest, of those that are here."""
        return {digest: self._blocks[digest] for digest in digests if digest in self._blocks}

    def holds(self, digest: str) -> bool:
        """Whether a block is here, or is on its way."""
        return digest in self._users or any(digest in upload.blocks for upload in self._uploads.values())

    def replace(self, digest: str, handle: Handle) -> None:
        """Bring a block again that was lost."""
        if digest in self._users:
            self._blocks[digest] = handle

    # --- leases ----------------------------------------------------------------------------------------------------

    def lease(self, version: int, seconds: float) -> str:
        """Keep a version for so many seconds; gives the name of the lease."""
        self.manifest(version)
        lease = uuid.uuid4().hex
        self._leases[lease] = (version, time.monotonic() + seconds)
        return lease

    def renew(self, lease: str, version: int, seconds: float) -> None:
        """Keep it longer; a lease that is unknown here, as after a new start, begins again if its version is here."""
        if version in self._versions:
            self._leases[lease] = (version, time.monotonic() + seconds)

    def release(self, lease: str) -> None:
        """The version is not needed any more."""
        self._leases.pop(lease, None)
        self.prune()

    def delete(self, version: int) -> None:
        """Drop a version now.

        Raises:
            UnknownVersionError: it is not here.
            RegistryError: it is in use, or is the newest one.
        """
        if version == self.manifest().version:
            raise RegistryError(f"version {version} is the newest one, from which others are made; publish another one first")
        self.manifest(version)
        if version in self._leased():
            raise RegistryError(f"version {version} is in use: it is under a lease")
        self.drop(version)

    def drop(self, version: int) -> None:
        """Drop a version, used or not, with the blocks that no other one needs."""
        for digest in set(self._versions.pop(version).blocks):
            self._users[digest] -= 1
            if not self._users[digest]:
                del self._users[digest]
                self._blocks.pop(digest, None)

    def prune(self) -> None:
        """Drop versions that nobody uses, but for the newest."""
        leased = self._leased()
        if time.monotonic() < self._keep_old_until:
            leased |= self._versions.keys() - self._own
        unused = [version for version in self.versions() if version not in leased]
        for version in unused[: -self.keep]:
            self.drop(version)

    def stats(self) -> RegistryStats:
        """Counts; what lies outside the table is not in them."""
        shards = {digest for each in self._versions.values() for digests in each.digests for digest in digests}
        return RegistryStats(
            num_bytes=self.num_bytes(),
            num_blocks=len(self._users),
            num_shards=len(shards),
            num_versions=len(self._versions),
            num_leased=len(self._leased()),
            stored=self._stored,
            reused=self._reused,
            clashes=self._clashes,
        )

    def _leased(self) -> set[int]:
        self._leases = {lease: each for lease, each in self._leases.items() if each[1] > time.monotonic()}
        return {version for version, _ in self._leases.values()}

    def _check(self, layout: Layout, owner: str, *, share: bool) -> None:
        if self.layout is not None and (lines := self.layout.differences(layout)):
            listed = "; ".join(lines[:10]) + (f"; and {len(lines) - 10} more" if len(lines) > 10 else "")
            raise RegistryError(f"registry {self.name!r} holds another model, publish under another name: {listed}")
        if self.owner not in (None, owner) and not share:
            advice = "publish under another name, or open it with share=True"
            raise RegistryError(f"registry {self.name!r} belongs to {self.owner}; {advice}")

    def _upload(self, upload: str) -> _Upload[Handle]:
        if upload not in self._uploads:
            raise UploadLostError("the registry does not know this upload: it was started again, or the upload took too long")
        return self._uploads[upload]

    def _count(self, manifest: Manifest, brought: Mapping[str, Handle]) -> None:
        for digests, block in zip(manifest.digests, manifest.blocks, strict=True):
            if block in brought and block not in self._blocks:
                self._stored += len(digests)
            else:
                self._reused += len(digests)
