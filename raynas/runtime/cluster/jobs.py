"""Ray jobs: commands that run on a cluster's head, and go on when whoever submitted them has gone."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from raynas.errors import ClusterError
from raynas.runtime.cluster.nodes import EXPECTED, versions_here

NOT_SHIPPED = [".git", ".venv", "venv", "__pycache__", "runs", "*.pyc"]


class Jobs:
    """The jobs of one cluster.

    Args:
        address: of its dashboard, ``http://head:8265``. The token is taken from Ray's usual places.

    Raises:
        ClusterError: it cannot be reached or does not let us in; or this Ray lacks what submits jobs.
    """

    def __init__(self, address: str) -> None:
        try:
            from ray.job_submission import JobSubmissionClient
        except ImportError as error:
            raise ClusterError(f"jobs need Ray's dashboard ({error}); install it with: pip install 'ray[default]'") from error
        self.address = address
        try:
            self._client = JobSubmissionClient(address)
        except Exception as error:  # ConnectionError, RuntimeError, what requests raises
            raise ClusterError(f"the cluster at {address} cannot be reached: {_one_line(error)}") from error

    def submit(self, name: str, command: Sequence[str], *, folder: Path | None = None) -> None:
        """Run a command on the head.

        Args:
            name: of the job.
            command: and its arguments.
            folder: goes along, and is the command's working folder; without what is listed in ``NOT_SHIPPED``.

        Raises:
            ClusterError: there is a job of that name, or the cluster does not take it.
        """
        runtime: dict[str, Any] = {"env_vars": {EXPECTED: json.dumps(versions_here())}}
        if folder is not None:
            runtime |= {"working_dir": str(folder), "excludes": NOT_SHIPPED}
        try:
            self._client.submit_job(entrypoint=shlex.join(command), submission_id=name, runtime_env=runtime)
        except Exception as error:
            if "already exists" in str(error):
                raise ClusterError(f"{self.address} has a job {name!r} already; take another --name") from None
            raise ClusterError(f"{self.address} does not take the job: {_one_line(error)}") from error

    def status(self, name: str) -> str:
        """``PENDING``, ``RUNNING``, ``STOPPED``, ``SUCCEEDED`` or ``FAILED``.

        Raises:
            ClusterError: there is no such job.
        """
        self._check(name)
        return str(self._client.get_job_status(name).value)

    def logs(self, name: str) -> str:
        """What the job has printed so far. Raises ``ClusterError`` if there is no such job."""
        self._check(name)
        logs: str = self._client.get_job_logs(name)
        return logs

    def follow(self, name: str) -> Iterator[str]:
        """What the job prints, as it does, until it ends. Raises ``ClusterError`` if there is no such job."""
        self._check(name)
        lines = self._client.tail_job_logs(name)
        with asyncio.Runner() as runner:
            while True:
                try:
                    yield runner.run(anext(lines))  # type: ignore[arg-type]  # an asynchronous iterator
                except StopAsyncIteration:
                    return

    def stop(self, name: str) -> bool:
        """End it; gives whether it was running. Raises ``ClusterError`` if there is no such job."""
        self._check(name)
        return bool(self._client.stop_job(name))

    def _check(self, name: str) -> None:
        known = [job.submission_id for job in self._client.list_jobs() if job.submission_id]
        if name not in known:
            raise ClusterError(f"{self.address} has no job {name!r}; it has {', '.join(sorted(known)[:20]) or 'none'}")


def _one_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return " ".join(text.split())[:500]
