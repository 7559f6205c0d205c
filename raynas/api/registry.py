"""``WeightRegistry``: the registry as users open it, in the object store where there is Ray, in this process where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raynas.api.connection import ray_is_running
from raynas.errors import OptionError
from raynas.storage import Storage
from raynas.weights import KEEP, Registry, ShardStore, open_local_store


class WeightRegistry(Registry):
    """Versioned weights of one supernet, stored candidate by candidate.

    In a process connected to Ray they lie in its object store, and every process of the cluster that opens the same name
    sees the same versions; elsewhere they lie in this process. A registry can be sent to another process: its name goes.

    Args:
        name: of the registry.
        storage_path: where every version is mirrored, a folder or whatever ``pyarrow.fs`` opens, such as ``s3://bucket/net``;
            what is there already can be fetched at once.
        keep: how many versions stay, beside those under a lease; the newest ones. The first to open the registry decides.
        detached: whether it outlives the driver that opens it first.
        share: whether a run may publish into the registry of another one.

    Raises:
        RegistryError: the mirror is damaged: it has versions, and none of them is whole. Or there is a registry of that name
            with a mirror elsewhere, and ``share`` is not set.

    Example:
        >>> from torch import nn
        >>> from raynas.nn import LayerChoice, generate_search_space
        >>> net = nn.Sequential(LayerChoice([nn.Linear(4, 2), nn.Linear(4, 2)], key="op"))
        >>> registry = WeightRegistry("doctest")
        >>> version = registry.publish(net)
        >>> sorted(registry.fetch(generate_search_space(net).unrank(1), version=version))
        ['0.candidates.1.bias', '0.candidates.1.weight']
    """

    def __init__(
        self,
        name: str,
        storage_path: str | Path | None = None,
        *,
        keep: int = KEEP,
        detached: bool = False,
        share: bool = False,
    ) -> None:
        if type(keep) is not int or keep < 1:
            raise OptionError(f"keep is {keep!r}; expected an integer of at least 1")
        self.storage_path = str(storage_path) if storage_path is not None else None
        self._options = {"keep": keep, "detached": detached, "share": share}
        storage = Storage(storage_path) if storage_path is not None else None
        super().__init__(name, _open_store(name, storage, keep=keep, detached=detached, share=share), share=share)

    @classmethod
    def open(cls, storage_path: str | Path, *, name: str | None = None) -> WeightRegistry:
        """Bring back what a registry has mirrored, in whatever cluster this is.

        Args:
            storage_path: where the mirror is.
            name: of the registry here; that of the folder above ``weights`` if ``None``.

        Raises:
            RegistryError: there is nothing, or none of the versions is whole.
        """
        place = str(storage_path).rstrip("/")
        opened = cls(name or Path(place.removesuffix("/weights")).name, storage_path)
        opened.newest()
        return opened

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.name, self.storage_path, self._options)


def _reopen(name: str, storage_path: str | None, options: dict[str, Any]) -> WeightRegistry:
    return WeightRegistry(name, storage_path, **options)


def _open_store(name: str, storage: Storage | None, *, keep: int, detached: bool, share: bool) -> ShardStore:
    if ray_is_running():
        from raynas.runtime import open_ray_store

        return open_ray_store(name, storage, keep=keep, detached=detached, share=share)
    return open_local_store(name, storage, keep=keep, share=share)
