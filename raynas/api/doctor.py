"""``doctor``: what is wrong with a cluster, before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raynas.api.connection import connect
from raynas.api.task_file import load_task_file


def doctor(address: str | None = None, *, file: str | Path | None = None, storage: str | None = None) -> list[Any]:
    """Look at every machine: versions, object store, disk, GPUs, storage, clocks, and the way between machines.

    Args:
        address: of the cluster; see ``connect``.
        file: defines the task whose weights have to fit into the object stores.
        storage: the folder of run folders, or its URI; not looked at if ``None``.

    Returns:
        What was found, in the order of the machines; each has ``check``, ``where``, ``found``, ``passed`` and, where something
        is wrong, ``advice``.

    Raises:
        ClusterError: the cluster cannot be reached.
        TaskError: the file is wrong.

    Example:
        >>> import raynas
        >>> for finding in raynas.doctor("auto", storage="/mnt/runs"):  # doctest: +SKIP
        ...     print(finding.check, finding.where, finding.found, finding.advice)
    """
    weight_bytes = 0
    if file is not None:
        task, _ = load_task_file(file)
        weight_bytes = sum(tensor.nbytes for tensor in task.model().state_dict().values())
    connect(address)
    from raynas.runtime import examine

    return examine(weight_bytes=weight_bytes, storage=storage)
