"""``RegistryActor``: owns the blocks of a registry in Ray's object store, so that they outlive whoever published them.

Bytes that a process puts die with it. So the actor takes them over: it calls a small task on the publisher's machine that
returns them, and thereby owns the copy, which never leaves that machine. How clients use it is in ``ray_store``.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raynas.errors import RegistryError, UnknownVersionError, UploadLostError
from raynas.runtime.registry.mirror_writer import MirrorWriter
from raynas.storage import Storage
from raynas.weights import LEASE_SECONDS, Block, Digests, Layout, Manifest, Mirror, Pack, RegistryStats, VersionTable

MANY = 1_000  # notes of where blocks are, before one looks whether they are still needed


class Put(NamedTuple):
    """Blocks that whoever publishes has put into the object store of a machine, as one list; its reference is in ``holder``."""

    digests: list[str]
    holder: list[Any]
    node_id: str


class RegistryActor:
    """Versions, and a reference to every block. All methods run in one thread, in turn where they wait.

    Args:
        name: of the registry.
        storage: in which versions are mirrored, in the background.
        keep: how many versions that nobody uses stay.
        detached: whether it outlives its driver.
    """

    def __init__(self, name: str, storage: Storage | None, keep: int, detached: bool) -> None:
        context = ray.get_runtime_context()
        self._name, self._storage, self._detached, self._job = name, storage, detached, context.get_job_id()
        self._table = VersionTable[Any](keep, name)
        self._nodes: dict[str, str] = {}  # of each block, the machine that it was brought from
        self._most_nodes = MANY  # of which some are of blocks that were dropped
        self._take_over: Any = ray.remote(num_cpus=0, max_retries=0)(take_over)  # made once: each one is sent to workers anew
        self._read_block: Any = ray.remote(num_cpus=0, max_retries=1)(read_block)
        self._taking: dict[str, asyncio.Lock] = {}  # by machine
        self._recovering: dict[str, asyncio.Future[Any]] = {}
        self._problems: list[str] = []
        self._unopened = False
        self._mirror = Mirror(storage) if storage is not None else None
        self._writer = MirrorWriter(name, self._mirror, self._table, self._nodes) if self._mirror is not None else None
        self._is_second = bool(context.was_current_actor_reconstructed)
        self._birth = uuid.uuid4().hex  # of this process: Ray does not always know that it is not the first
        if self._is_second:
            self._table.wait_for_leases(LEASE_SECONDS)
        self._restore(read=not self._is_second)

    # --- publishing ------------------------------------------------------------------------------------------------

    async def begin(
        self, digest: str, layout: Layout | None, owner: str, share: bool
    ) -> tuple[str, str, set[str], int, int] | None:
        """Begin an upload; see ``VersionTable.begin``. Gives this process's birth before, and the newest version and the bytes
        that are here after it.

        Args:
            digest: of the layout.
            layout: ``None`` if it may be known here; ``None`` comes back if it is not.
            owner: who publishes.
            share: whether the registry may belong to somebody else.
        """
        known = self._table.layout
        if layout is None and (known is None or known.digest != digest):
            return None
        begun = self._table.begin(layout or known, owner, share=share)  # type: ignore[arg-type]
        return self._birth, *begun, self._table.newest, self._table.num_bytes(here=True)

    async def take(self, upload: str, put: Put) -> None:
        """Take blocks over for an upload. Raises ``UploadLostError`` if they are not there any more: a version is whole or not
        at all."""
        where = NodeAffinitySchedulingStrategy(put.node_id, soft=False)
        taking = self._take_over.options(num_returns=len(put.digests) + 1, scheduling_strategy=where)
        async with self._taking.setdefault(put.node_id, asyncio.Lock()):  # a second process would have to be started for it
            *owned, done = taking.remote(put.holder[0])
            try:
                await done
            except ray.exceptions.RayError as error:  # whoever put them, or its machine, has died
                raise UploadLostError(f"weights got lost on their way into the registry: {error}") from None
        self._table.add(upload, dict(zip(put.digests, owned, strict=True)))
        self._nodes |= dict.fromkeys(put.digests, put.node_id)

    async def commit(self, upload: str, last: Put | None, changed: Any, seen: Any) -> int | None:
        """Take the last blocks over and add a version; see ``VersionTable.commit``. It is mirrored later."""
        if last is not None:
            await self.take(upload, last)
        if self._writer is not None:
            await self._writer.reserve()
        version = self._table.commit(upload, changed, seen)
        if version is not None and self._writer is not None:
            await self._writer.add(version)
        if len(self._nodes) > self._most_nodes:
            for digest in [each for each in self._nodes if not self._table.holds(each)]:
                del self._nodes[digest]
            self._most_nodes = 2 * len(self._nodes) + MANY
        return version

    async def count_clashes(self, number: int) -> None:
        self._table.count_clashes(number)

    # --- reading ---------------------------------------------------------------------------------------------------

    async def versions(self) -> list[int]:
        return self._table.versions()

    async def manifest(
        self, version: int | None, known: str | None, birth: str | None, numbers: list[int]
    ) -> tuple[str, Manifest | tuple[int, Digests], list[Any]]:
        """A version, after this process's birth and before references as of ``refs``.

        Args:
            version: which one; the newest if ``None``.
            known: the digest of the layout that the caller has: then it is left out.
            birth: of the process that the caller has known.
            numbers: packs of that layout that the caller wants to read.
        """
        try:
            manifest = self._table.manifest(version)
        except UnknownVersionError:
            if self._storage is not None or (not self._is_second and birth in (None, self._birth)):
                raise
            raise RegistryError(
                f"registry {self._name!r} was started again, and what it held is lost: it has no storage_path; publish again"
            ) from None
        if manifest.layout.digest != known:
            return self._birth, manifest, []
        return self._birth, (manifest.version, manifest.digests), await self.refs(manifest.version, numbers)

    async def refs(self, version: int, numbers: list[int]) -> list[Any]:
        """References to the blocks of some packs; ``None`` for one that is in the mirror only."""
        blocks = self._table.manifest(version).blocks
        held = self._table.handles(blocks[number] for number in numbers)
        return [held.get(blocks[number]) for number in numbers]

    async def home(self) -> str | None:
        """The machine that most bytes of the newest version were brought from; ``None`` where that is not known."""
        held: dict[str, int] = {}
        for digest, size in self._table.manifest().num_bytes.items() if self._table.versions() else ():
            if digest in self._nodes:
                held[self._nodes[digest]] = held.get(self._nodes[digest], 0) + size
        return max(held, key=held.__getitem__, default=None)

    async def recover(self, version: int, number: int, lost: str, node_id: str) -> Any:
        """Bring a block again that a reader could not get: read from the mirror, on the reader's machine.

        Args:
            version: whose block it is.
            number: of its pack.
            lost: the reference that the reader had, as hexadecimal digits, ``""`` if none.
            node_id: of the reader.
        """
        manifest = self._table.manifest(version)
        digest = manifest.blocks[number]
        held = self._table.handles([digest]).get(digest)
        if held is not None and held.hex() != lost:
            return [held]  # another reader was quicker
        if self._storage is None:
            titles = ", ".join(shard.title for shard in manifest.layout.packs[number].shards[:8])
            raise RegistryError(
                f"registry {self._name!r} has lost the weights of {titles} in version {version}: the machine that held them is "
                "gone, and there is no storage_path to read them from; publish again"
            )
        if digest not in self._recovering:
            self._recovering[digest] = asyncio.ensure_future(self._read_again(manifest, number, node_id))
        try:
            ref = await self._recovering[digest]
        finally:
            self._recovering.pop(digest, None)
        return [ref]

    async def _read_again(self, manifest: Manifest, number: int, node_id: str) -> Any:
        where = NodeAffinitySchedulingStrategy(node_id, soft=True)
        ref, error = self._read_block.options(scheduling_strategy=where, num_returns=2).remote(
            self._storage, manifest.layout.packs[number], manifest.digests[number]
        )
        problem = await error
        if problem is not None:
            raise RegistryError(problem)
        self._table.replace(manifest.blocks[number], ref)
        self._nodes[manifest.blocks[number]] = node_id
        return ref

    # --- leases, counts, the end -----------------------------------------------------------------------------------

    async def lease(self, version: int, seconds: float) -> str:
        return self._table.lease(version, seconds)

    async def renew(self, lease: str, version: int, seconds: float) -> None:
        self._table.renew(lease, version, seconds)

    async def release(self, lease: str) -> None:
        self._table.release(lease)
        if self._writer is not None:
            self._writer.tidy_soon()

    async def delete(self, version: int) -> None:
        if self._writer is not None:
            await self._writer.join()  # it may be on its way to the mirror
        self._table.delete(version)
        if self._writer is not None:
            await self._writer.tidy()

    async def stats(self) -> RegistryStats:
        return replace(self._table.stats(), mirrored=self._writer.mirrored if self._writer is not None else None)

    async def flush(self) -> str | None:
        """Wait until every version is mirrored; gives what went wrong, once."""
        return await self._writer.flush() if self._writer is not None else None

    async def close(self) -> bool:
        """Drop everything; the mirror stays. Gives whether there is nobody but the caller to end this actor."""
        self._table.clear(self._table.next_version if self._mirror is not None else 1)
        self._nodes.clear()
        if self._writer is not None:
            self._writer.forget()
        return self._detached

    # --- opening ---------------------------------------------------------------------------------------------------

    async def open(self, job: str) -> tuple[str | None, bool, list[str]]:
        """Bring the newest whole version of the mirror here, if there is one and none is here.

        Returns:
            Where the mirror is, whether the registry is this job's and empty, and what is wrong with versions newer than the
            newest one.
        """
        if not self._table.versions():
            self._restore(read=True)
        if self._unopened:
            self._unopened = False
            await self._read_newest()
        problems, self._problems = self._problems, []
        warnings = [f"going back to an older version of the weights; {problem}" for problem in problems]
        is_unused = not self._table.versions() and job == self._job
        return self._storage.place if self._storage is not None else None, is_unused, warnings

    def _restore(self, *, read: bool) -> None:
        """Know again what the mirror has; blocks are read when they are asked for, those of the newest by ``open``."""
        if self._mirror is None or self._writer is None:
            return
        there = self._mirror.versions()
        for version in there:
            try:
                self._table.insert(self._mirror.manifest(version), {})
            except RegistryError as error:
                self._problems.append(f"version {version}: {error}")
        self._table.next_version = max(self._table.next_version, self._mirror.next_version())
        self._writer.begin_with(there)
        self._unopened = bool(there) and read

    async def _read_newest(self) -> None:
        node_id = ray.get_runtime_context().get_node_id()
        for version in reversed(self._table.versions()):
            manifest = self._table.manifest(version)
            ends = await asyncio.gather(
                *(self._read_again(manifest, number, node_id) for number in range(len(manifest.blocks))), return_exceptions=True
            )
            errors = [str(end) for end in ends if isinstance(end, BaseException)]
            if not errors:
                return
            self._problems.append(f"version {version}: {errors[0]}")
            self._table.drop(version)
        assert self._storage is not None
        raise RegistryError(f"no version in {self._storage.place} is whole: {'; '.join(self._problems)}")


def take_over(blocks: list[Block]) -> Any:
    """Return the blocks, each as an object of its own: so they belong to the caller. And nothing, which says that they are
    there, and can be waited for where blocks of another machine would come along."""
    return *blocks, None


def read_block(storage: Storage, pack: Pack, digests: tuple[str, ...]) -> tuple[Block | None, str | None]:
    """Read a block from the mirror, which then belongs to the caller; or say what is wrong with it."""
    try:
        return Mirror(storage).read(pack, digests), None
    except RegistryError as error:
        return None, str(error)
