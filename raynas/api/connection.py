"""Whether this process is connected to Ray, and how it leaves. Does not import Ray."""

from __future__ import annotations

import sys


def ray_is_running() -> bool:
    """Whether this process is connected to a Ray cluster."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def disconnect() -> None:
    """Leave the Ray cluster; one that raynas started ends, with all of its processes. Nothing happens without one."""
    if ray_is_running():
        from raynas.runtime import disconnect as leave

        leave()
