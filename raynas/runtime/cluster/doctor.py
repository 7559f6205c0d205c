"""What can be wrong with a cluster before it is used: one finding for each thing that was looked at, on each machine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raynas.runtime.cluster.nodes import ANSWER_SECONDS, Node, alive_nodes, ask_versions, version_problems, versions_here
from raynas.storage import Storage
from raynas.weights import KEEP

SKEW_SECONDS = 1.0  # more, and times in tables and logs of two machines cannot be compared
FREE_BYTES = 5_000_000_000  # of disk, where Ray spills and logs; below a twentieth Ray refuses to spill at all
NAME_SECONDS = 1.0  # for a machine's own name and address; Ray's agent looks them up as it starts, and has 15 s for all of that
PROBE_BYTES = 32_000_000  # that travel between two machines
SLOW_BYTES = 50_000_000  # a second; a gigabit link has 125


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        check: what was looked at.
        where: on which machine; ``""`` for the cluster.
        found: what there is.
        advice: what to do; ``""`` where all is well.
    """

    check: str
    where: str
    found: str
    advice: str = ""

    @property
    def passed(self) -> bool:
        return not self.advice


def examine(*, weight_bytes: int = 0, storage: str | None = None) -> list[Finding]:
    """Look at every machine of the cluster that this process is connected to.

    Args:
        weight_bytes: of the supernet that is to be published; 0 if that is not known.
        storage: where runs are to be kept, a folder or a URI; ``None`` is not looked at.
    """
    nodes, expected = alive_nodes(), versions_here()
    findings, healthy = [], []
    for node, answer in ask_versions(nodes).items():
        problems = version_problems(node, answer, expected)
        found = "; ".join(problems) or ", ".join(f"{name} {version}" for name, version in answer.items())
        findings.append(Finding("versions", node.name, found, "install the same on every machine" if problems else ""))
        healthy += [node] if not problems else []
    inspectors = {node: _inspector(node) for node in healthy}
    try:
        for node, inspector in inspectors.items():
            findings += _ask(node, inspector.examine.remote(node.name, weight_bytes, storage))
            findings.append(_clock(node, inspector))
        findings += _bandwidth(inspectors)
    finally:
        for inspector in inspectors.values():
            ray.kill(inspector)
    return findings


class Inspector:
    """Looks at the machine that it is on."""

    def examine(self, where: str, weight_bytes: int, storage: str | None) -> list[Finding]:
        """Everything that takes no other machine."""
        node = next(each for each in ray.nodes() if each["NodeID"] == ray.get_runtime_context().get_node_id())
        folder = Path(node["RayletSocketName"]).parent
        findings = [
            _object_store(where, int(node["Resources"].get("object_store_memory", 0)), weight_bytes),
            _disk(where, folder),
            _gpus(where, node["Resources"].get("GPU", 0)),
            _names(where, node["NodeManagerAddress"]),
        ]
        return findings if storage is None else [*findings, _storage(where, storage)]

    def clock(self) -> float:
        """Seconds since 1970, as this machine has it."""
        return time.time()

    def make(self, num_bytes: int) -> Any:
        """Bytes that lie here."""
        return np.zeros(num_bytes, np.uint8)

    def fetch(self, holder: list[Any]) -> float:
        """Seconds that it takes to bring them here."""
        start = time.perf_counter()
        ray.get(holder[0])
        return time.perf_counter() - start


def _object_store(where: str, size: int, weight_bytes: int) -> Finding:
    needed = (KEEP + 2) * weight_bytes  # what stays, and one that comes, twice while it is taken over
    shared = shutil.disk_usage("/dev/shm").total if Path("/dev/shm").is_dir() else 0
    found = f"{size / 1e9:.1f} GB, /dev/shm {shared / 1e9:.1f} GB"
    advice = ""
    if size < needed:
        advice = f"the weights of this task need {needed / 1e9:.1f} GB: raise it with ray start --object-store-memory"
    elif shared < size:
        advice = "the object store does not fit into /dev/shm: enlarge that (docker run --shm-size, a memory-backed volume)"
    return Finding("object store", where, found, advice)


def _disk(where: str, folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    found = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} GB"
    low = usage.free < max(FREE_BYTES, usage.total / 20)
    return Finding("disk", where, found, f"free some space where Ray keeps {folder}, or move it with --temp-dir" if low else "")


def _gpus(where: str, announced: float) -> Finding:
    import torch

    driver = _nvidia_driver()
    found = f"{announced:g} in Ray, driver {driver or 'none'}, torch built for {torch.version.cuda or 'CPU'}"
    if not announced:
        advice = "Ray does not know of its GPUs: start it with --num-gpus" if driver else ""
        return Finding("GPUs", where, found, advice)
    if torch.version.cuda is None:
        return Finding("GPUs", where, found, "this torch cannot use a GPU: install a build for CUDA")
    return Finding("GPUs", where, found, "" if driver else "no working NVIDIA driver: see what nvidia-smi says there")


def _nvidia_driver() -> str | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    asked = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.split("\n")[0].strip() or None


def _names(where: str, address: str) -> Finding:
    start = time.perf_counter()
    with suppress(OSError):  # a "no" that comes at once does no harm
        socket.getaddrinfo(socket.gethostname(), None)
    with suppress(OSError):
        socket.getnameinfo((address, 0), 0)
    seconds = time.perf_counter() - start
    advice = "its name server does not answer, and processes wait for it as they start: put all machines into /etc/hosts"
    return Finding("names", where, f"its own were looked up in {seconds:.2f} s", advice if seconds > NAME_SECONDS else "")


def _storage(where: str, place: str) -> Finding:
    storage, name = Storage(place), f".raynas-doctor-{uuid.uuid4().hex}"
    try:
        start = time.perf_counter()
        storage.write(name, b"raynas")
        whole = storage.read(name) == b"raynas"
        storage.delete(name)
    except Exception as error:  # each file system has errors of its own
        return Finding("storage", where, f"{place}: {error}", "it has to be writable from every machine: rights, keys, mounts")
    milliseconds = 1e3 * (time.perf_counter() - start)
    found = f"{place}: written, read and deleted in {milliseconds:.0f} ms"
    return Finding("storage", where, found, "" if whole else "what was read is not what was written")


def _clock(node: Node, inspector: Any) -> Finding:
    """The smallest of a few differences, each half of the way known."""
    differences = []
    for _ in range(5):
        before = time.time()
        there = _ask_one(inspector.clock.remote())
        if isinstance(there, Exception):
            return Finding("clock", node.name, str(there), "this machine does not answer")
        after = time.time()
        differences.append(there - (before + after) / 2)
    skew = min(differences, key=abs)
    advice = "" if abs(skew) < SKEW_SECONDS else "run a time service (chrony, systemd-timesyncd) on every machine"
    return Finding("clock", node.name, f"{skew:+.3f} s from here", advice)


def _bandwidth(inspectors: dict[Node, Any]) -> list[Finding]:
    """From this machine, or the first one, to every other."""
    findings: list[Finding] = []
    for node, inspector in list(inspectors.items())[1:]:
        source, sender = next(iter(inspectors.items()))
        made = sender.make.remote(PROBE_BYTES)
        ray.wait([made], timeout=ANSWER_SECONDS, fetch_local=False)
        seconds = _ask_one(inspector.fetch.remote([made]))
        if isinstance(seconds, Exception):
            findings.append(Finding("bandwidth", node.name, str(seconds), f"no bytes come here from {source.name}"))
            continue
        rate = PROBE_BYTES / seconds
        advice = "" if rate >= SLOW_BYTES else "slow for weights: look at the link, or keep evaluators where they are published"
        findings.append(Finding("bandwidth", node.name, f"{rate / 1e6:.0f} MB/s from {source.name}", advice))
    return findings


def _inspector(node: Node) -> Any:
    remote: Any = ray.remote(Inspector)
    there = NodeAffinitySchedulingStrategy(node.id, soft=False)
    return remote.options(num_cpus=0, scheduling_strategy=there).remote()


def _ask(node: Node, call: Any) -> list[Finding]:
    answer = _ask_one(call)
    if isinstance(answer, Exception):
        return [Finding("machine", node.name, str(answer), "this machine does not answer")]
    findings: list[Finding] = answer
    return findings


def _ask_one(call: Any) -> Any:
    try:
        return ray.get(call, timeout=ANSWER_SECONDS)
    except ray.exceptions.RayError as error:
        return error
