"""Fixtures for all tests: one Ray for the session, a small task, and a watch on what tests leave behind."""

import gc
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from pyarrow.fs import S3FileSystem
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import raynas
from raynas.nn import InputChoice, LayerChoice, Profile

hypothesis.settings.register_profile("default", max_examples=40, deadline=None)
hypothesis.settings.register_profile("nightly", max_examples=10_000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """A pure test that leaks a thread, a process group or an environment variable fails."""
    if request.node.get_closest_marker("ray") or request.node.get_closest_marker("demo"):
        yield
        return
    threads, environment = set(threading.enumerate()), dict(os.environ)
    yield
    assert not _new_threads(threads), f"threads left running: {_new_threads(threads)}"
    assert not torch.distributed.is_initialized(), "a process group was left"
    changed = {name for name in {*environment, *os.environ} if environment.get(name) != os.environ.get(name)}
    changed -= {"PYTEST_CURRENT_TEST", "TORCHINDUCTOR_CACHE_DIR"}  # pytest's own, and torch.compile's
    changed -= {"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"}  # scikit-learn's, when it is imported
    changed -= {"RAY_CLIENT_MODE"}  # Ray's, when it is imported
    changed -= {"CRC32C_SW_MODE"}  # tensorboardX's, when it is imported
    changed -= {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}  # those of the session's S3 server
    assert not changed, f"environment variables changed: {changed}"


def _new_threads(before: set[threading.Thread]) -> list[str]:
    """Threads that were not there before and do not end by themselves, within two seconds, once nothing refers to them."""
    for _ in range(20):
        left = [thread for thread in threading.enumerate() if thread not in before and not _lives_on(thread)]
        if not left:
            break
        gc.collect()  # only now: it takes long when a test is short
        time.sleep(0.1)
    return [thread.name for thread in left]


def _lives_on(thread: threading.Thread) -> bool:
    """Whether a library keeps the thread for the life of the process: Ray's, and the monitor of torch's progress bars."""
    return thread.name.startswith(("ray", "raylet", "raynas-progress", "tqdm_monitor"))


class S3Server:
    """moto's server, in a process of its own, on a port that is free."""

    def __enter__(self) -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                assert self._process.poll() is None, "moto's server did not start"
                assert time.monotonic() < deadline, "moto's server does not answer"
                time.sleep(0.1)
            else:
                return f"127.0.0.1:{port}"

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="session")
def s3() -> Iterator[Callable[[], str]]:
    """A server that speaks S3; gives the URI of a folder in it in which nothing is."""
    with pytest.MonkeyPatch.context() as patch, S3Server() as host:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        S3FileSystem(endpoint_override=host, scheme="http", region="us-east-1", allow_bucket_creation=True).create_dir("bucket")
        yield lambda: f"s3://bucket/{uuid.uuid4().hex}?scheme=http&endpoint_override={host}&region=us-east-1"


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where storage is: in a folder, and in an object store."""
    if request.param == "disk":
        return str(tmp_path / "deep" / "place")
    uri: str = request.getfixturevalue("s3")()
    return uri


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """The session's Ray; when it ends, none of its processes is left."""
    from raynas.runtime import connect, disconnect

    connect()
    yield
    disconnect()
    left = [name for name in _children() if name.startswith(("raylet", "gcs_server", "ray::"))]
    assert not left, f"processes left running: {left}"


def _children() -> list[str]:
    """Command lines of living descendants of this process."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
            name = (entry / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
        except OSError:
            continue
        if stat[0] != "Z":
            parents[int(entry.name)], names[int(entry.name)] = int(stat[1]), Path(name).name
    found, frontier = [], {os.getpid()}
    while frontier:
        frontier = {child for child, parent in parents.items() if parent in frontier}
        found += [names[child] for child in frontier]
    return found


class TinyNet(nn.Module):
    """Three choices over eight inputs; trains in milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.first = LayerChoice({"relu": _layer(nn.ReLU()), "tanh": _layer(nn.Tanh()), "same": nn.Identity()}, key="first")
        self.second = LayerChoice({"relu": _layer(nn.ReLU()), "same": nn.Identity()}, key="second")
        self.skip = InputChoice(choose_from=["first", "second"], n_chosen=1, key="skip")
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        output: torch.Tensor = self.head(self.skip([first, self.second(first)]))
        return output


def _layer(activation: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), activation)


def make_data(num_samples: int, seed: int) -> torch.utils.data.TensorDataset:
    """Three classes that a small network can tell apart."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(num_samples, 8, generator=generator)
    return torch.utils.data.TensorDataset(inputs, inputs[:, :3].argmax(1))


def accuracy(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (output.argmax(1) == target).float().mean()


@pytest.fixture
def tiny_task() -> raynas.Task:
    """A task that trains in well under a second."""
    return raynas.Task(
        model=TinyNet,
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
        train_data=make_data(128, 0),
        valid_data=make_data(64, 1),
        test_data=make_data(64, 2),
        batch_size=32,
    )


def measure_cost(model: nn.Module, *inputs: Any) -> Profile:
    """What a plain model costs, on the CPU with numbers; kept tensors are told apart by where they lie."""
    torch.backends.mha.set_fastpath_enabled(False)  # torch's counter knows neither the fast path
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # nor the CPU's kernels
        model.eval()(*inputs)
    torch.backends.mha.set_fastpath_enabled(True)
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), sdpa_kernel(SDPBackend.MATH):
        output = model.train()(*inputs)
    for parameter in model.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    num_bytes = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    del output
    params = sum(parameter.numel() for parameter in model.parameters())
    return Profile(params, counter.get_total_flops(), num_bytes)


@pytest.fixture
def run_for_real() -> Callable[..., Profile]:
    """Gives the ``Profile`` of a plain model by running it."""
    return measure_cost
