"""Runs on a cluster that somebody else's machine reaches only through its dashboard: submitted, watched, ended, fetched."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from raynas.api.run_archive import pack, unpack
from raynas.api.run_folder import RunFolder, name_of
from raynas.errors import ClusterError, OptionError, TaskError
from raynas.storage import is_uri

POLL_SECONDS = 0.5
PACK_SECONDS = 600.0


def submit(
    file: str | Path,
    *,
    address: str,
    storage_path: str,
    name: str | None = None,
    options: Sequence[str] = (),
) -> str:
    """Have a cluster run a file: its folder goes there, the run goes on when this machine has gone.

    Args:
        file: defines ``task``. What lies beside it goes along, but for ``runs``, ``.git`` and virtual environments.
        address: of the cluster's dashboard, ``http://head:8265``.
        storage_path: the folder of run folders, as the machines of the cluster see it, or its URI.
        name: of the run and the job; the file's name and the time if ``None``.
        options: of ``raynas run``, ``["--num-trials", "100"]`` for example.

    Returns:
        The name.

    Raises:
        TaskError: there is no such file, or it is no Python.
        OptionError: the storage is a relative path.
        ClusterError: the cluster cannot be reached, has a job of that name, or does not take it.

    Example:
        >>> import raynas
        >>> raynas.submit("task.py", address="http://10.0.0.1:8265", storage_path="/mnt/runs")  # doctest: +SKIP
        'task-20260101-120000'
    """
    from raynas.runtime import Jobs

    file = Path(file)
    try:
        compile(file.read_bytes(), file, "exec")
    except (OSError, SyntaxError, ValueError) as error:
        raise TaskError(f"{file} cannot be run: {error}; give a Python file that defines task = raynas.Task(...)") from None
    _check_place(storage_path)
    name = name or f"{file.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    command = ["raynas", "run", file.name, "--address", "auto", "--storage", storage_path, "--name", name, *options]
    Jobs(address).submit(name, command, folder=file.resolve().parent)
    return name


def submit_resume(run_folder: str, *, address: str, options: Sequence[str] = ()) -> str:
    """Have a cluster go on with a run.

    Args:
        run_folder: of the run, as the machines of the cluster see it, or its URI.
        address: of the cluster's dashboard.
        options: of ``raynas resume``.

    Returns:
        The name of the job.

    Raises:
        OptionError: the folder is a relative path.
        ClusterError: the cluster cannot be reached, or does not take the job.
    """
    from raynas.runtime import Jobs

    _check_place(run_folder)
    name = f"{name_of(run_folder)}-{time.strftime('%Y%m%d-%H%M%S')}"
    Jobs(address).submit(name, ["raynas", "resume", run_folder, "--address", "auto", *options])
    return name


def logs(name: str, *, address: str, follow: bool = False) -> Iterator[str]:
    """What a job has printed.

    Args:
        name: of the job.
        address: of the cluster's dashboard.
        follow: whether to go on until it ends.

    Raises:
        ClusterError: the cluster cannot be reached, or has no such job.
    """
    from raynas.runtime import Jobs

    jobs = Jobs(address)
    return jobs.follow(name) if follow else iter([jobs.logs(name)])


def job_status(name: str, *, address: str) -> str:
    """``PENDING``, ``RUNNING``, ``STOPPED``, ``SUCCEEDED`` or ``FAILED``. Raises ``ClusterError`` as ``logs`` does."""
    from raynas.runtime import Jobs

    return Jobs(address).status(name)


def stop(name: str, *, address: str) -> bool:
    """End a job, or a registry that was made with ``detached=True``.

    Args:
        name: of the job; or of the registry, where the address is that of Ray itself.
        address: of the cluster's dashboard, ``http://head:8265``; or ``auto`` or ``head:6379``.

    Returns:
        Whether there was something to end.

    Raises:
        ClusterError: the cluster cannot be reached, or has no job of that name.
    """
    from raynas.runtime import Jobs, connect, end_registry

    if is_dashboard(address):
        return Jobs(address).stop(name)
    connect(address)
    return end_registry(name)


def download(run_folder: str, *, address: str, target: str | Path | None = None, everything: bool = False) -> Path:
    """Fetch a run folder through the cluster's dashboard.

    Args:
        run_folder: as the machines of the cluster see it, or its URI.
        address: of the cluster's dashboard.
        target: where to; ``runs/`` and its name if ``None``.
        everything: whether weights and checkpoints come too.

    Returns:
        ``target``.

    Raises:
        OptionError: the folder is a relative path.
        RunExistsError: ``target`` is there.
        ClusterError: the cluster cannot be reached, or there is no such run.
        RunDamagedError: what came is not whole, or not to be trusted.
    """
    from raynas.runtime import Jobs

    _check_place(run_folder)
    target = Path(target) if target is not None else Path("runs") / name_of(run_folder)
    jobs, name = Jobs(address), f"download-{time.time_ns()}"
    jobs.submit(name, ["raynas", "pack", run_folder, *(["--all"] if everything else [])])
    deadline = time.monotonic() + PACK_SECONDS
    while (status := jobs.status(name)) in ("PENDING", "RUNNING"):
        if time.monotonic() > deadline:
            jobs.stop(name)
            raise ClusterError(f"{run_folder} was not packed within {PACK_SECONDS:g} s")
        time.sleep(POLL_SECONDS)
    printed = jobs.logs(name)
    if status != "SUCCEEDED":
        said = [line for line in printed.splitlines() if line.startswith("raynas:")]
        raise ClusterError(f"{run_folder} cannot be fetched from {address}: {said[-1] if said else status}")
    return unpack(printed.splitlines(), target)


def pack_run(run_folder: str | Path, *, everything: bool = False) -> Iterator[str]:
    """What ``download`` has the cluster print. Raises ``RunNotFoundError`` if there is no such run."""
    folder = RunFolder.open(run_folder, everything=everything)  # which a copy goes with
    yield from pack(folder.path, everything=everything)


def is_dashboard(address: str) -> bool:
    """Whether an address is that of a dashboard rather than of Ray itself."""
    return address.startswith(("http://", "https://"))


def _check_place(place: str) -> None:
    if not Path(place).is_absolute() and not is_uri(place):
        raise OptionError(
            f"{place!r} is a relative path; on a cluster give an absolute one, of storage that all machines share, or a URI"
        )
