"""The connection to Ray: which cluster, and what goes to its workers by value."""

from __future__ import annotations

import logging
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ray
import ray.cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raynas.errors import ClusterError, OptionError, TaskError
from raynas.explore import BY_VALUE
from raynas.runtime.cluster.nodes import check_versions

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing of ours reports anywhere
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",  # how often reports are looked for; the default costs 1.9 s a report
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # Tune's CSV and JSON files, which dominate at thousands of trials
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # the journal is ours
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # Only a process that cannot answer at all is taken for hung: it is asked by another thread than the one that trains, so a
    # slow step or a long validation does not count. By default it has ten minutes.
    "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": "10",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends a search at once, as it ends everything else
    "RAY_AIR_NEW_OUTPUT": "0",  # our own progress says more
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # announced to become the default; silences the warning
}

START_ATTEMPTS = 3
AT_DISCONNECT: list[Callable[[], None]] = []  # what drops handles, which lead nowhere once the cluster is left
_STARTED_HERE: set[str] = set()  # addresses of clusters of one node, which no other node will join
_REFUSALS = (TypeError, pickle.PicklingError, AttributeError, ValueError)


def connect(address: str | None = None, *, object_store_bytes: int | None = None) -> None:
    """Make sure that Ray is there; nothing happens where this process is connected already.

    Args:
        address: ``auto`` for the cluster that this machine is part of, ``HOST:PORT`` of a head, ``local`` for one of our own on
            this machine; ``None``: what ``RAY_ADDRESS`` says, else ``local``.
        object_store_bytes: the size of the object store of a Ray that is started here.

    Raises:
        ClusterError: there is no such cluster, it does not let us in, or not all of its machines have the raynas, Ray and torch
            of this one.
        OptionError: the address is one of Ray Client or of a dashboard.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if not ray.is_initialized() and "://" in address:
        raise OptionError(
            f"address is {address!r}; Ray Train and Ray Tune need a driver on a machine of the cluster: take auto or HOST:PORT "
            "there, or have the cluster do it with raynas submit --address http://HOST:8265"
        )
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if ray.is_initialized():
        return
    if address == "local":
        _start({} if object_store_bytes is None else {"object_store_memory": object_store_bytes})
        return
    try:
        _join(address)
    except Exception as error:
        raise _no_entrance(address, error) from error
    try:
        check_versions()
    except BaseException:
        disconnect()
        raise


def _start(options: Mapping[str, Any]) -> None:
    """A Ray of our own. A machine that is busy may need longer than the quarter or half minute that Ray gives its parts."""
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            _join("local", include_dashboard=False, **options)
        except Exception as error:
            if "timed out during startup" not in str(error) or attempt == START_ATTEMPTS:
                raise
            ray.shutdown()
        else:
            _STARTED_HERE.add(ray.get_runtime_context().gcs_address)
            return


def _join(address: str, **options: Any) -> None:
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)


def _no_entrance(address: str, error: Exception) -> ClusterError:
    text = " ".join(str(error).split()) or type(error).__name__
    if "token" in text.lower() or "authenticat" in text.lower():
        advice = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's token"
    else:
        advice = "is it started? cluster/README.md says how"
    return ClusterError(f"the cluster at {address!r} cannot be joined: {text[:500]}; {advice}")


def disconnect() -> None:
    """Leave the cluster; one that was started here ends."""
    for forget in AT_DISCONNECT:
        forget()
    ray.shutdown()


def is_started_here() -> bool:
    """Whether this Ray was started by ``connect``: it has one node, and no other one will join."""
    return ray.get_runtime_context().gcs_address in _STARTED_HERE


def num_slots(resources: Mapping[str, float]) -> int:
    """How many trials with these resources (``cpu``, ``gpu`` or custom ones) the cluster holds at once; at least 1.

    Raises:
        OptionError: no node has that much, and none can come, since this Ray was started here.
    """
    needed = rays_names(resources)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(name, 0) >= amount for name, amount in needed.items()) for node in nodes):
        largest = {name: max((node.get(name, 0) for node in nodes), default=0) for name in needed}
        text = f"a trial needs {dict(resources)}, but the most that a node has is {largest}"
        if is_started_here():
            raise OptionError(f"{text}; take less in resources_per_trial")
        logging.getLogger(__name__).warning("%s; waiting for a node that has it", text)
    there = ray.cluster_resources()
    return max(1, int(min((there.get(name, 0) / amount for name, amount in needed.items()), default=1)))


def rays_names(resources: Mapping[str, float]) -> dict[str, float]:
    """Resources as Ray calls them, without those of which nothing is needed."""
    return {{"cpu": "CPU", "gpu": "GPU"}.get(name, name): amount for name, amount in resources.items() if amount > 0}


def on_this_machine() -> dict[str, Any]:
    """Options of an actor that computes nothing, beside this process as long as the machine is there.

    It asks for a byte of memory: Ray places an actor that asks for nothing on any machine, whatever the strategy prefers.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return {"num_cpus": 0, "memory": 1, "scheduling_strategy": here}


def ship(value: Any, name: str) -> bytes:
    """Serialise for workers, modules loaded by path included.

    Args:
        value: what to send.
        name: what it is called in an error; ``""`` for a bundle whose parts have names of their own.

    Raises:
        TaskError: it cannot be pickled; the message names the part that cannot, ``task.train_data.lock`` for example.
    """
    shipped: bytes = _pickled(ray.cloudpickle.dumps, value, name)
    return shipped


def for_workers(evaluate: Any) -> Any:
    """What goes to workers in place of an ``evaluate``: what its ``to_workers()`` gives, if it is an object that has one."""
    return evaluate.to_workers() if hasattr(evaluate, "to_workers") and not isinstance(evaluate, type) else evaluate


def broadcast(value: Any, name: str) -> Any:
    """Put a value into the object store, once for all workers. NumPy arrays in it are read there in place, not copied.

    Args:
        value: what to send.
        name: see ``ship``.

    Returns:
        Its reference; the value stays as long as someone holds it.

    Raises:
        TaskError: it cannot be pickled; the message names the part that cannot.
    """
    return _pickled(ray.put, value, name)


def _pickled(pickle: Callable[[Any], Any], value: Any, name: str) -> Any:
    for module in list(sys.modules.values()):
        if getattr(module, BY_VALUE, False):
            ray.cloudpickle.register_pickle_by_value(module)
    try:
        return pickle(value)
    except _REFUSALS as error:
        where, cause = _unpicklable(value, name, error)
        raise TaskError(
            f"{where} cannot be pickled, so no worker can have it: {cause}; "
            "give a function that makes it instead, train_data=lambda: load() for example"
        ) from None


def _unpicklable(value: Any, name: str, error: Exception) -> tuple[str, Exception]:
    """The innermost part that cannot be pickled, by the names of the attributes that lead to it."""
    for part, entry in _parts(value):
        try:
            ray.cloudpickle.dumps(entry)
        except _REFUSALS as cause:
            return _unpicklable(entry, f"{name}.{part}".strip("."), cause)
    return name or type(value).__name__, error


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    """What a value is made of; the entries of a tuple bear its name."""
    if isinstance(value, tuple):
        return (("", entry) for entry in value)
    return () if isinstance(value, type) else getattr(value, "__dict__", {}).items()
