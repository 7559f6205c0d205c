"""Workers are killed and stopped, really, at moments of no one's choosing: the weights are those of a quiet run, to the bit."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import raynas
from raynas.errors import TrainingError
from raynas.runtime.train.train_worker import is_lost_peer
from tests.runtime.train_program import STEPS, leave, train

Blow = tuple[int, int, signal.Signals | None]  # step, rank, signal; None: it sleeps instead of computing its loss
MARKS = (pytest.mark.ray, pytest.mark.nightly, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(600))


def nightly(test: Callable[..., None]) -> Callable[..., None]:
    """For tests whose workers start several times."""
    for mark in MARKS:
        test = mark(test)
    return test


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (RuntimeError("[/pytorch/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1234"), True),
        (RuntimeError("[/pytorch/gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 10000ms for recv operation"), True),
        (RuntimeError("Application timeout caused pair closure"), True),  # of gloo: another call than this one has timed out
        (RuntimeError("NCCL communicator was aborted on rank 1"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("the gloo of a peer"), False),
    ],
)
def test_only_a_collective_that_failed_is_answered_with_a_new_start(error: Exception, is_lost: bool) -> None:
    assert is_lost_peer(error) == is_lost


class Disturbance:
    """Sends signals to workers as training goes on, and remembers losses and times.

    Args:
        folder: where the workers leave their process ids.
        plan: in the order of the steps.
    """

    def __init__(self, folder: Path, plan: list[Blow]) -> None:
        self.folder, self.plan = folder, list(plan)
        self.losses: dict[int, float] = {}
        self.seconds: list[float] = []  # until training went on
        self.gone: list[float] = []  # until the process that got the signal was no more
        self._since: tuple[float, int] | None = None

    def __call__(self, step: int, total: int, figures: dict[str, float]) -> None:
        assert total == STEPS
        assert self.losses.setdefault(step, figures["loss"]) == figures["loss"], f"step {step} came out differently"
        pid = int((self.folder / "pid-0").read_text())
        if self._since is not None and pid != self._since[1]:
            self.seconds.append(time.monotonic() - self._since[0])
            self._since = None
        if self.plan and step >= self.plan[0][0] and self._since is None:
            _, rank, number = self.plan.pop(0)
            self._since = (time.monotonic(), pid)
            struck = int((self.folder / f"pid-{rank}").read_text())
            if number is None:
                leave("once", self.folder / f"stuck-{rank}")
            else:
                os.kill(struck, number)
            threading.Thread(target=self._watch, args=(struck, time.monotonic()), daemon=True).start()

    def _watch(self, pid: int, since: float) -> None:
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.05)
        self.gone.append(time.monotonic() - since)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Callable[[raynas.Task], tuple[dict[str, Any], dict[int, float]]]:
    """Gives weights and losses of a run that nobody disturbs."""
    done: list[tuple[dict[str, Any], dict[int, float]]] = []

    def run(task: raynas.Task) -> tuple[dict[str, Any], dict[int, float]]:
        if not done:
            folder = tmp_path_factory.mktemp("quiet")
            watched = Disturbance(folder, [])
            done.append((train(task, folder, on_progress=watched, seconds=0.05), watched.losses))
        return done[0]

    return run


def check(task: raynas.Task, folder: Path, plan: list[Blow], quiet: Callable[..., Any], **changed: Any) -> Disturbance:
    weights, losses = quiet(task)
    disturbance = Disturbance(folder, plan)
    assert train(task, folder, on_progress=disturbance, seconds=0.3, **changed) == weights
    assert not disturbance.plan
    assert len(disturbance.seconds) == len(plan)
    common = losses.keys() & disturbance.losses.keys()
    assert len(common) > 3
    assert {step: losses[step] for step in common} == {step: disturbance.losses[step] for step in common}
    print("seconds until the process was gone:", disturbance.gone, "until training went on:", disturbance.seconds)  # noqa: T201
    return disturbance


@nightly
def test_three_kills_in_one_run(tiny_task: raynas.Task, tmp_path: Path, quiet: Callable[..., Any]) -> None:
    rng = random.Random(4)
    plan = [(rng.randrange(low, low + 8), rng.randrange(2), signal.SIGKILL) for low in (3, 16, 30)]
    check(tiny_task, tmp_path / "killed", plan, quiet)


@nightly
def test_a_stopped_worker_is_noticed_and_replaced(tiny_task: raynas.Task, tmp_path: Path, quiet: Callable[..., Any]) -> None:
    disturbance = check(tiny_task, tmp_path / "stopped", [(8, 1, signal.SIGSTOP)], quiet)
    assert disturbance.gone[0] < 22, "what our settings decide; the rest is how long a worker takes to start"


@nightly
def test_a_worker_that_lives_but_does_not_come_is_replaced(
    tiny_task: raynas.Task, tmp_path: Path, quiet: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    disturbance = check(tiny_task, tmp_path / "stuck", [(8, 1, None)], quiet, hang_timeout=10)
    assert disturbance.gone[0] < 10 + 12, "the timeout, and what Train takes to give a process group up"
    assert "the others waited in vain for rank 1; training starts again, with 2 workers" in caplog.text


@nightly
def test_one_that_never_comes_ends_the_training_with_its_rank(tiny_task: raynas.Task, tmp_path: Path) -> None:
    leave("always", tmp_path / "stuck-1")
    with pytest.raises(TrainingError, match=r"workers failed more than 1 times: the others waited in vain for rank 1 \("):
        train(tiny_task, tmp_path, hang_timeout=5, max_failures=1)
