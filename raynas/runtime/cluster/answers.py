"""``get``: ``ray.get`` for threads that must not stay behind when their process leaves the cluster."""

from __future__ import annotations

import concurrent.futures
import threading
from typing import Any

import ray

from raynas.errors import ClusterError

LOOK_EVERY = 0.5  # seconds between two looks whether the process is still in the cluster


class ClusterLeftError(ClusterError):
    """The process left the cluster before the answer came."""


def get(refs: Any) -> Any:
    """What ``ray.get`` gives, for one reference or a list of them.

    Leaving the cluster frees what a thread in ``ray.get`` waits for, and often, but not always, wakes it. So threads of a
    driver wait for a future instead, of which Ray knows only the end. The main thread is the one that leaves; workers never do.

    Raises:
        ClusterLeftError: the process has left the cluster.
        Exception: the one that ``ray.get`` raises.
    """
    context = ray.get_runtime_context()
    if threading.current_thread() is threading.main_thread() or context.worker.mode != ray.SCRIPT_MODE:
        return ray.get(refs)
    member = context.get_worker_id()  # another one in the next cluster
    if not isinstance(refs, list):
        return _result(refs.future(), member)
    return [_result(future, member) for future in [ref.future() for ref in refs]]


def _result(future: concurrent.futures.Future[Any], member: str) -> Any:
    while not concurrent.futures.wait([future], timeout=LOOK_EVERY).done:
        if not ray.is_initialized() or ray.get_runtime_context().get_worker_id() != member:
            raise ClusterLeftError("this process has left the cluster")
    return future.result()
