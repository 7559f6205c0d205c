"""Which actor keeps the registry of a name, and what keeps that actor alive."""

from __future__ import annotations

from typing import Any

import ray

from raynas.errors import RegistryError
from raynas.runtime.cluster.connection import AT_DISCONNECT, on_this_machine
from raynas.runtime.registry.registry_actor import RegistryActor
from raynas.storage import Storage

NAMESPACE = "raynas"  # every driver of a cluster sees the registries of the others

_HANDLES: dict[str, Any] = {}  # an actor that is not detached lives as long as its creator's handle
AT_DISCONNECT.append(_HANDLES.clear)


def actor_of(name: str, storage: Storage | None, keep: int, detached: bool) -> Any:
    """The actor of that name, on the machine of whoever asks for it first: if that one goes, so does its driver.

    Args:
        name: of the registry.
        storage: where it is mirrored, if this call creates it.
        keep: see ``open_ray_store``.
        detached: see ``open_ray_store``.
    """
    if name not in _HANDLES:
        remote = ray.remote(**on_this_machine(), max_restarts=-1, max_task_retries=-1)(RegistryActor)
        options = remote.options(
            name=_name_in_ray(name),
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached" if detached else None,
        )
        _HANDLES[name] = options.remote(name, storage, keep, detached)
    return _HANDLES[name]


def forget_actor(name: str) -> None:
    """Hold the actor of that name no more."""
    _HANDLES.pop(name, None)


def end_actor(name: str, actor: Any) -> None:
    """End the actor of that name."""
    ray.kill(actor)
    forget_actor(name)


def end_registry(name: str) -> bool:
    """End the registry of that name, whoever keeps it alive; its mirror stays. Gives whether there was one."""
    try:
        actor = ray.get_actor(_name_in_ray(name), namespace=NAMESPACE)
    except ValueError:
        return False
    answer: Any = actor.flush.remote()
    failure: str | None = ray.get(answer)
    end_actor(name, actor)
    if failure is not None:
        raise RegistryError(failure)
    return True


def _name_in_ray(name: str) -> str:
    return f"raynas-registry-{name}"
