"""``MirrorWriter``: what a registry's actor does with its mirror, in the background of everything else."""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raynas.storage import Storage
from raynas.weights import Block, Manifest, Mirror, Pack, VersionTable

BACKLOG = 8  # versions that may wait for the mirror; publishing waits when there are more
RESERVE = 64  # numbers of versions that are reserved in the mirror at once


class MirrorWriter:
    """Writes versions to the mirror, block by block on the machines where these lie, and deletes there what was dropped.

    All methods run in the actor's thread, in turn where they wait.

    Args:
        name: of the registry.
        mirror: to write to.
        table: of the versions, with references to their blocks.
        nodes: of each block, the machine that it was brought from.

    Attributes:
        mirrored: the newest version that is there; ``None`` without one.
    """

    def __init__(self, name: str, mirror: Mirror, table: VersionTable[Any], nodes: dict[str, str]) -> None:
        self._write_blocks: Any = ray.remote(num_cpus=0, max_retries=2)(write_blocks)
        self._name, self._mirror, self._table, self._nodes = name, mirror, table, nodes
        self.mirrored: int | None = None
        self._there: set[int] = set()
        self._written: set[tuple[int, str]] = set()  # number of the pack and digest of blocks that are there
        self._reserved = 0  # the mirror knows that smaller numbers are taken
        self._failure: str | None = None
        self._waiting: asyncio.Queue[int] = asyncio.Queue(BACKLOG)
        self._changing = asyncio.Lock()  # for whoever writes or deletes versions, which may share blocks
        self._reserving = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_writing = False

    def begin_with(self, there: list[int]) -> None:
        """Versions that the mirror has had before, of which the table has those that can be read."""
        self._there = set(there)
        self.mirrored = max(self._table.versions(), default=None)

    def forget(self) -> None:
        """Look again at what is there before it is taken for written: the registry is closed, and others may change it."""
        self._written.clear()

    async def reserve(self) -> None:
        """See that the mirror knows of the next number before somebody is told it: after a new start none is used twice."""
        while self._reserved <= self._table.next_version:
            async with self._reserving:
                if self._reserved > self._table.next_version:
                    return  # another publisher has seen to it meanwhile
                number = self._table.next_version + RESERVE
                try:
                    await asyncio.to_thread(self._mirror.reserve, number)
                except Exception as error:  # no reason to lose the version: it is here
                    self._failure = f"the mirror of registry {self._name!r} cannot be written: {error}"
                    return
                self._reserved = number

    async def add(self, version: int) -> None:
        """Write a version in its turn; waits while too many others do."""
        if not self._is_writing:
            self._is_writing = True
            self._start(self._write_versions())
        await self._waiting.put(version)

    async def join(self) -> None:
        """Wait until every version was written."""
        await self._waiting.join()

    async def flush(self) -> str | None:
        """Wait until every version was written and every other one deleted; gives what went wrong, once."""
        await self.join()
        await self.tidy()
        async with self._reserving:
            if self._reserved > self._table.next_version:  # so that there is no gap if this is the end
                self._reserved = number = self._table.next_version
                try:
                    await asyncio.to_thread(self._mirror.reserve, number)
                except Exception as error:
                    self._failure = self._failure or f"the mirror of registry {self._name!r} cannot be written: {error}"
        failure, self._failure = self._failure, None
        return failure

    def tidy_soon(self) -> None:
        """``tidy`` that is not waited for: a large version may be on its way."""
        if self._surplus():
            self._start(self.tidy())

    async def tidy(self) -> None:
        """Delete from the mirror what the table has dropped."""
        async with self._changing:
            if not self._surplus() or not await asyncio.to_thread(self._mirror.is_claimed):
                return
            for version in self._surplus():
                manifests = [self._table.manifest(each) for each in self._table.versions()]
                self._written &= {place for manifest in manifests for place in enumerate(manifest.blocks)}
                await asyncio.to_thread(self._mirror.forget, version, manifests)
                self._there.discard(version)

    def _surplus(self) -> set[int]:
        """Versions that the mirror has and the table has dropped, as far as the mirror has a newer one."""
        here = self._table.versions()
        return {version for version in self._there if here and version not in here and version < (self.mirrored or 0)}

    def _start(self, work: Any) -> None:
        self._tasks.add(task := asyncio.ensure_future(work))
        task.add_done_callback(self._tasks.discard)

    async def _write_versions(self) -> None:
        """One version after the other, for ever."""
        while True:
            version = await self._waiting.get()
            try:
                if version in self._table.versions():  # else newer ones have replaced it
                    async with self._changing:
                        await self._write_version(self._table.manifest(version))
                    await self.tidy()
            except Exception as error:
                self._failure = f"version {version} of registry {self._name!r} is not in the mirror: {error}"
            finally:
                self._waiting.task_done()

    async def _write_version(self, manifest: Manifest) -> None:
        refs = self._table.handles(manifest.blocks)
        by_node: dict[str, list[int]] = {}
        for number, digest in enumerate(manifest.blocks):
            if digest in refs and (number, digest) not in self._written:
                by_node.setdefault(self._nodes.get(digest, ""), []).append(number)
        tasks = []
        for node_id, numbers in by_node.items():
            where = NodeAffinitySchedulingStrategy(node_id, soft=True) if node_id else "DEFAULT"
            packs = [(manifest.layout.packs[number], manifest.digests[number]) for number in numbers]
            blocks = [refs[manifest.blocks[number]] for number in numbers]
            tasks.append(self._write_blocks.options(scheduling_strategy=where).remote(self._mirror.storage, packs, *blocks))
        for task in tasks:
            await task
        await asyncio.to_thread(self._mirror.write_manifest, manifest)
        self._written |= set(enumerate(manifest.blocks))
        self._there.add(manifest.version)
        self.mirrored = manifest.version


def write_blocks(storage: Storage, packs: list[tuple[Pack, tuple[str, ...]]], *blocks: Block) -> None:
    """Write blocks to the mirror, from the machine on which they lie."""
    mirror = Mirror(storage)
    for (pack, digests), block in zip(packs, blocks, strict=True):
        mirror.write_block(pack, digests, block)
