"""Whether this process is connected to Ray, and how it leaves. Does not import Ray."""

from __future__ import annotations

import sys


def ray_is_running() -> bool:
    """Whether this process is connected to a Ray cluster."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def connect(address: str | None = None, *, object_store_memory: int | None = None) -> None:
    """Join a Ray cluster, or start a Ray here. Whatever needs one calls it, so it is needed only to say which.

    Args:
        address: ``auto`` for the cluster that this machine is part of, ``HOST:PORT`` of a head, ``local`` for one that is
            started here; ``None``: what the variable ``RAY_ADDRESS`` says, else ``local``.
        object_store_memory: bytes of the object store of a Ray that is started here.

    Raises:
        ClusterError: there is no such cluster, it does not let us in, or not all of its machines have the raynas, Ray and torch
            of this one.
        OptionError: the address is one of Ray Client or of a dashboard.

    Example:
        >>> import raynas
        >>> raynas.connect("auto")  # doctest: +SKIP
    """
    from raynas.runtime import connect as join

    join(address, object_store_bytes=object_store_memory)


def disconnect() -> None:
    """Leave the Ray cluster; one that raynas started ends, with all of its processes. Nothing happens without one."""
    if ray_is_running():
        from raynas.runtime import disconnect as leave

        leave()
