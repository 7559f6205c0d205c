"""``RayStore``: a shard store whose blocks lie in Ray's object store. Who owns them is in ``registry_actor``."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import ray
from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

from raynas.errors import NoRoomError, RaynasError, RegistryError
from raynas.runtime.cluster.answers import ClusterLeftError, get
from raynas.runtime.cluster.connection import AT_DISCONNECT
from raynas.runtime.cluster.nodes import session_folder
from raynas.runtime.registry.handles import actor_of, end_actor, forget_actor
from raynas.runtime.registry.registry_actor import Put
from raynas.storage import Storage
from raynas.weights import (
    KEEP,
    Block,
    Digests,
    Layout,
    Manifest,
    RegistryStats,
    ShardStore,
    Wanted,
    mirrored_elsewhere,
)

MAX_ATTEMPTS = 4  # to bring a block again that was lost; to open a registry that others open with other storage

_LAYOUTS: dict[str, Layout] = {}  # the last one of each registry: what is known here need not come again
AT_DISCONNECT.append(_LAYOUTS.clear)


class RayStore:
    """The client's side of a ``RegistryActor``. Used from any process of the cluster.

    Args:
        name: of the registry.
        actor: its handle.
        storage: where it is mirrored.
    """

    def __init__(self, name: str, actor: Any, storage: Storage | None) -> None:
        self._name, self._actor, self._storage = name, actor, storage
        self._job = ray.get_runtime_context().get_job_id()
        self._node_id = ray.get_runtime_context().get_node_id()
        self._birth: str | None = None  # of the actor's process
        self._layout: Layout | None = _LAYOUTS.get(name)
        self._manifest: Manifest | None = None  # the last one that was read, with references to its blocks
        self._refs: dict[int, Any] = {}
        self._room: float | None = None  # of this machine's object store

    def open(self, *, share: bool) -> bool:
        """Wait until the newest whole version of the mirror, if there is one, is here.

        Returns:
            Whether it is the registry that was asked for; if not, it was an empty one of this job and is gone now.

        Raises:
            RegistryError: it is mirrored elsewhere, and is not shared; or no version in the mirror is whole.
        """
        if self._storage is None:
            return True
        place, is_unused, problems = self._call("open", self._job)
        for problem in problems:
            logging.getLogger(__name__).warning("%s", problem)
        if place == self._storage.place or share:
            return True
        if not is_unused:
            raise mirrored_elsewhere(self._name, place)
        end_actor(self._name, self._actor)
        return False

    def begin(self, layout: Layout, *, share: bool = False, num_bytes: int = 0) -> RayUpload:
        owner = f"the Ray job {self._job}"
        share = share or self._storage is not None  # who opens a registry by its mirror may write there
        begun = None
        if self._layout is not None and self._layout.digest == layout.digest:
            begun = self._call("begin", layout.digest, None, owner, share)
        if begun is None:
            begun = self._call("begin", layout.digest, layout, owner, share)
        self._layout = _LAYOUTS[self._name] = layout
        self._birth, name, known, newest, num_held = begun
        self._check_room(2 * num_bytes + num_held)  # twice while the registry takes them over
        return RayUpload(self, name, known, newest)

    def versions(self) -> list[int]:
        versions: list[int] = self._call("versions")
        return versions

    def manifest(self, version: int | None = None, wanted: Wanted | None = None) -> Manifest:
        if self._manifest is not None and self._manifest.version == version:
            return self._manifest
        known = self._layout
        numbers = list(wanted(known)) if wanted is not None and known is not None else []
        found: Manifest | tuple[int, Digests]
        asked = (version, known.digest if known is not None else None, self._birth, numbers)
        self._birth, found, refs = self._call("manifest", *asked)
        manifest = found if isinstance(found, Manifest) else Manifest(found[0], known, found[1])  # type: ignore[arg-type]
        self._layout = _LAYOUTS[self._name] = manifest.layout
        if self._manifest is None or self._manifest.version != manifest.version:
            self._manifest, self._refs = manifest, {}
        self._refs.update(zip(numbers, refs, strict=False))  # none where the layout is another one
        return self._manifest

    def read(self, manifest: Manifest, numbers: Sequence[int]) -> list[Block]:
        if self._manifest is None or manifest.version != self._manifest.version:
            self._manifest, self._refs = manifest, {}
        missing = [number for number in numbers if number not in self._refs]
        if missing:
            self._refs.update(zip(missing, self._call("refs", manifest.version, missing), strict=True))
        refs = [self._refs[number] for number in numbers]
        try:
            if None not in refs:
                return [np.asarray(block) for block in self._wait_for(refs)]
        except (ObjectLostError, RayTaskError):
            pass  # one of them was lost; which one is found out below
        return [self._read_again(manifest, number) for number in numbers]

    def home(self) -> str | None:
        home: str | None = self._call("home")
        return home

    def lease(self, version: int, seconds: float) -> str:
        lease: str = self._call("lease", version, seconds)
        return lease

    def renew(self, lease: str, version: int, seconds: float) -> None:
        self._call("renew", lease, version, seconds)

    def release(self, lease: str) -> None:
        self._call("release", lease)

    def delete(self, version: int) -> None:
        self._call("delete", version)
        if self._manifest is not None and self._manifest.version == version:
            self._manifest, self._refs = None, {}

    def count_clashes(self, number: int) -> None:
        self._call("count_clashes", number)

    def stats(self) -> RegistryStats:
        stats: RegistryStats = self._call("stats")
        return replace(stats, spilled_bytes=_spilled_bytes())

    def flush(self) -> None:
        failure = self._call("flush")
        if failure is not None:
            raise RegistryError(failure)

    def close(self) -> None:
        self._manifest, self._refs = None, {}
        if self._call("close"):
            end_actor(self._name, self._actor)

    def _read_again(self, manifest: Manifest, number: int) -> Block:
        """A block, recovered if it was lost."""
        for _ in range(MAX_ATTEMPTS):
            ref = self._refs.get(number)
            try:
                if ref is not None:
                    return np.asarray(self._wait_for(ref))
            except ObjectLostError:
                pass
            except RayTaskError as error:
                cause = error.cause
                if not isinstance(cause, ObjectLostError):
                    raise (cause if isinstance(cause, RaynasError) else error) from None
            lost = ref.hex() if ref is not None else ""
            (self._refs[number],) = self._call("recover", manifest.version, number, lost, self._node_id)
        raise RegistryError(f"a block of version {manifest.version} of registry {self._name!r} was lost again and again")

    def _call(self, method: str, *arguments: Any) -> Any:
        """Call the actor. A call that it did not answer because it died is sent again once it is back."""
        if not ray.is_initialized():  # a call would start a Ray of its own
            raise self._left()
        return self.get(getattr(self._actor, method).remote(*arguments))

    def get(self, answer: Any) -> Any:
        """What the actor answers, or its error as it is."""
        try:
            return self._wait_for(answer)
        except RayActorError as error:
            forget_actor(self._name)
            raise RegistryError(
                f"registry {self._name!r} is gone: what kept it alive has ended; open it anew, with its storage_path"
            ) from error
        except RayTaskError as error:
            if isinstance(error.cause, RaynasError):
                raise error.cause from None
            raise

    def _wait_for(self, refs: Any) -> Any:
        try:
            return get(refs)
        except ClusterLeftError:
            raise self._left() from None

    def _left(self) -> RegistryError:
        return RegistryError(f"registry {self._name!r} is in a cluster that this process has left")

    def _check_room(self, needed: int) -> None:
        if self._room is None:
            here = (node["Resources"] for node in ray.nodes() if node["NodeID"] == self._node_id)
            self._room = next(here).get("object_store_memory", 0)
        if needed > self._room:
            raise NoRoomError(
                f"publishing needs {needed / 1e6:.0f} MB of object store on this machine, which has {self._room / 1e6:.0f} MB; "
                "raise it with --object-store-memory (raynas run, ray start) or ray.init(object_store_memory=...)"
            )


class RayUpload:
    """An ``Upload`` into a ``RayStore``: blocks are put here, and taken over by the registry, while the next ones are put."""

    def __init__(self, store: RayStore, name: str, known: set[str], newest: int) -> None:
        self.known, self.newest = known, newest
        self._store, self._name = store, name
        self._last: Put | None = None  # handed over by ``commit``, which saves a call
        self._taken: list[Any] = []

    def add(self, blocks: Mapping[str, Block]) -> None:
        if self._last is not None:
            self._taken.append(self._store._actor.take.remote(self._name, self._last))
        self._last = Put(list(blocks), [ray.put(list(blocks.values()))], self._store._node_id)

    def commit(self, changed: Mapping[int, tuple[str, ...]], seen: Mapping[int, str] | None = None) -> int | None:
        self._store.get(self._taken)
        version: int | None = self._store._call("commit", self._name, self._last, dict(changed), dict(seen or {}))
        self._last = None
        return version


def open_ray_store(
    name: str, storage: Storage | None = None, *, keep: int = KEEP, detached: bool = False, share: bool = False
) -> ShardStore:
    """The store of that name in this cluster; the first to open it keeps it alive, and says where it is mirrored.

    Args:
        name: of the registry.
        storage: where it is mirrored.
        keep: how many versions that nobody uses stay.
        detached: whether it outlives the process that opens it first.
        share: whether it may be one that is mirrored elsewhere.

    Raises:
        RegistryError: there are versions in the mirror, and none of them is whole; or there is a registry of that name that is
            mirrored elsewhere, and is not shared.
    """
    for _ in range(MAX_ATTEMPTS):
        store = RayStore(name, actor_of(name, storage, keep, detached), storage)
        if store.open(share=share):
            return store
    raise RegistryError(f"registry {name!r} is opened with another storage_path elsewhere, again and again; take another name")


def _spilled_bytes() -> int:
    """What the object store of this machine has on disk, where Ray puts it unless it is told otherwise."""
    node_id = ray.get_runtime_context().get_node_id()
    total = 0
    for path in session_folder(node_id).glob(f"ray_spilled_objects*{node_id}*/*"):
        with suppress(OSError):  # it may be gone by now
            total += path.stat().st_size
    return total
