"""The machines of a cluster: which there are, what is asked of each of them, and whether raynas is the same on all."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raynas.errors import ClusterError
from raynas.storage import Storage

EXPECTED = "RAYNAS_EXPECTED_VERSIONS"  # of the packages, as whoever submitted this job has them
PACKAGES = ("raynas", "ray", "torch")  # of which every machine needs the same version
ANSWER_SECONDS = 30.0  # for a process to start on a machine and to answer
LOOK_SECONDS = 3.0  # for a network file system to show a new file


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        id: Ray's.
        name: its host name and its address.
        is_here: whether this process is on it.
    """

    id: str
    name: str
    is_here: bool


def alive_nodes() -> list[Node]:
    """The machines that are there, this one first."""
    here = ray.get_runtime_context().get_node_id()
    found = [
        Node(node["NodeID"], f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})", node["NodeID"] == here)
        for node in ray.nodes()
        if node["Alive"]
    ]
    return sorted(found, key=lambda node: (not node.is_here, node.name))


def session_folder(node_id: str) -> Path:
    """Ray's own folder on this machine, which it makes anew for each cluster."""
    socket_names = [Path(node["RayletSocketName"]) for node in ray.nodes() if node["NodeID"] == node_id]
    return socket_names[0].parent.parent


def ask_nodes(
    nodes: Iterable[Node], work: Callable[..., Any], *arguments: Any, seconds: float = ANSWER_SECONDS
) -> dict[Node, Any]:
    """Call a function on each of the machines, all at once.

    Args:
        nodes: which ones.
        work: called there. Where it is defined inside another function, raynas need not be installed there.
        arguments: of ``work``.
        seconds: after which a machine that has not answered is given up.

    Returns:
        What each has answered: the value, or the exception that says why there is none.
    """
    calls = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node.id, soft=False)
        remote: Any = ray.remote(work)
        calls[node] = remote.options(num_cpus=0, max_retries=0, scheduling_strategy=there).remote(*arguments)
    ray.wait(list(calls.values()), num_returns=len(calls), timeout=seconds)
    return {node: _answer(call, seconds) for node, call in calls.items()}


def check_versions() -> None:
    """Make sure that every machine has the raynas, Ray and torch of this one, and this one those of who submitted the job.

    A machine that does not answer is named in a warning: it may just have gone.

    Raises:
        ClusterError: one has others; the message names it, with both versions.
    """
    here = versions_here()
    answers = _those_that_answer(ask_versions(node for node in alive_nodes() if not node.is_here))
    wrong = [problem for node, answer in answers.items() for problem in version_problems(node, answer, here)]
    if wrong:
        raise ClusterError(f"the machines of the cluster differ: {'; '.join(wrong)}; install the same on all of them")
    expected = json.loads(os.environ.get(EXPECTED, "{}"))
    wrong = [
        f"{name} {version} there, {here.get(name)} here" for name, version in expected.items() if version != here.get(name)
    ]
    if wrong:
        raise ClusterError(f"the job was submitted by other versions: {'; '.join(wrong)}; install the same on both sides")


def versions_here() -> dict[str, str | None]:
    """Of this process."""
    versions: dict[str, str | None] = _what_tells_versions()(PACKAGES)
    return versions


def ask_versions(nodes: Iterable[Node]) -> dict[Node, Any]:
    """Of each machine, by package; ``None`` where it is not installed."""
    return ask_nodes(nodes, _what_tells_versions(), PACKAGES)


def version_problems(node: Node, answer: Any, expected: dict[str, str | None]) -> list[str]:
    """What is not on a machine as it is here."""
    if isinstance(answer, Exception):
        return [f"{node.name} does not answer: {answer}"]
    return [
        f"{node.name} has {name} {answer[name] or 'not at all'}, this machine {version}"
        for name, version in expected.items()
        if answer[name] != version
    ]


def check_storage(storage: Storage) -> None:
    """Make sure that every machine sees where a run is kept; one that does not answer is named in a warning.

    Raises:
        ClusterError: one does not; the message names it.
    """
    others = [node for node in alive_nodes() if not node.is_here]
    if not others:
        return
    answers = _those_that_answer(ask_who_sees(others, storage))
    blind = [node.name for node, sees in answers.items() if not sees]
    if blind and storage.local_path is None:
        raise ClusterError(
            f"{storage.place} cannot be read on {', '.join(blind)}: give those machines the keys, or the rights, of it"
        )
    if blind:
        raise ClusterError(
            f"{storage.place} is not on {', '.join(blind)}: what workers write there would be lost. Give --storage a URI, or a "
            "folder that all machines share; or --allow-local, if nothing runs on those"
        )


def ask_who_sees(nodes: Iterable[Node], storage: Storage) -> dict[Node, Any]:
    """Whether each machine finds a file in a place where this process has just written it."""
    mark, content = f".seen-{uuid.uuid4().hex}", uuid.uuid4().hex.encode()

    def look(storage: Storage, mark: str, content: bytes, seconds: float) -> bool:
        import time

        deadline = time.monotonic() + seconds
        while True:  # network file systems remember for a while what is not there
            try:
                if storage.read(mark) == content:
                    return True
            except OSError:
                pass
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)

    storage.write(mark, content)
    try:
        return ask_nodes(nodes, look, storage, mark, content, LOOK_SECONDS)
    finally:
        storage.delete(mark)


def _those_that_answer(answers: dict[Node, Any]) -> dict[Node, Any]:
    for node, answer in answers.items():
        if isinstance(answer, Exception):
            logging.getLogger(__name__).warning("%s does not answer, and is left out: %s", node.name, answer)
    return {node: answer for node, answer in answers.items() if not isinstance(answer, Exception)}


def _what_tells_versions() -> Callable[[Iterable[str]], dict[str, str | None]]:
    """A function that goes to machines by value."""

    def versions(names: Iterable[str]) -> dict[str, str | None]:
        from importlib import metadata

        found: dict[str, str | None] = {}
        for name in names:
            try:
                found[name] = metadata.version(name).split("+")[0]  # builds of one version differ in what follows
            except metadata.PackageNotFoundError:
                found[name] = None
        return found

    return versions


def _answer(call: Any, seconds: float) -> Any:
    try:
        return ray.get(call, timeout=0)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(call, force=True)
        return TimeoutError(f"no answer within {seconds:g} s")
    except ray.exceptions.RayError as error:
        return error
