"""A cluster loses a machine, and gets it back or not. Run as a program, this file is the driver of a training in it."""

import functools
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.train_program import STEPS, make_task, read_progress, report, train

pytestmark = [pytest.mark.ray, pytest.mark.nightly, pytest.mark.timeout(900)]
WAIT = 15  # seconds


def wait_for(what: Callable[[], bool], seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come")
        time.sleep(0.05)


@contextmanager
def training_on_two_nodes(folder: Path, num_workers: tuple[int, int], **changed: Any) -> Iterator[Any]:
    """Gives the cluster, its second node, and the training, whose steps are slow. The cluster is changed in the main thread."""
    from ray.cluster_utils import Cluster

    from raynas.runtime import connect, disconnect

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = cluster.address
    connect()
    (folder / "slow").touch()
    arguments = {"num_workers": num_workers, "on_progress": functools.partial(report, folder), "checkpoint_every": 2, **changed}
    with ThreadPoolExecutor(1) as pool:
        yield cluster, node, pool.submit(train, make_task(), folder, **arguments)
    disconnect()
    cluster.shutdown()


def lose_and_regain(folder: Path) -> None:
    """With one to two workers a node goes and comes."""
    numbers = folder / "num_workers"
    with training_on_two_nodes(folder, (1, 2)) as (cluster, node, training):
        for change, number in (
            (None, "2"),
            (lambda: cluster.remove_node(node), "1"),
            (lambda: cluster.add_node(num_cpus=1), "2"),
        ):
            start, steps = time.monotonic(), len(read_progress(folder))
            if change is not None:
                change()
            wait_for(lambda number=number, steps=steps: _says(numbers, number) and len(read_progress(folder)) > steps + 2)
            print(f"{number} workers after {time.monotonic() - start:.0f} s")  # noqa: T201
        (folder / "slow").unlink()
        training.result()


def lose(folder: Path) -> None:
    """With two to three workers a node goes for good."""
    with training_on_two_nodes(folder, (2, 3), wait=WAIT) as (cluster, node, training):
        wait_for(lambda: training.done() or len(read_progress(folder)) > 2)
        start = time.monotonic()
        cluster.remove_node(node)
        error = training.exception(timeout=400)
        print(f"{type(error).__name__}: {error}; after {time.monotonic() - start:.0f} s")  # noqa: T201


def _says(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


def run_program(name: str, folder: Path) -> str:
    """Run ``lose_and_regain`` or ``lose`` in a process of its own; gives what it printed."""
    root = Path(__file__).resolve().parents[2]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    run = subprocess.run(
        [sys.executable, "-m", "tests.runtime.test_changing_workers", name, str(folder)],
        env={**environment, "PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=850,
    )
    assert run.returncode == 0, run.stderr[-5000:]
    print(run.stdout)  # noqa: T201
    return run.stdout


def test_training_goes_on_with_one_and_then_with_two_workers(tmp_path: Path) -> None:
    run_program("lose_and_regain", tmp_path)
    progress = read_progress(tmp_path)
    assert progress[-1][0] == STEPS
    assert {rate for *_, rate in progress} == {0.01}, "the learning rate does not depend on the number of workers"
    again = [step for (before, *_), (step, *_) in itertools.pairwise(progress) if step <= before]
    assert len(again) <= 2, "only what followed the last checkpoint was done again, after each of two changes"


def test_fewer_workers_than_the_smallest_number_are_waited_for_no_longer_than_told(tmp_path: Path) -> None:
    said = run_program("lose", tmp_path)
    assert f"TrainingError: 2 workers with 1 CPU each found no room within {WAIT} s; the cluster has 1 CPU" in said
    assert 2 < len(read_progress(tmp_path)) < STEPS


if __name__ == "__main__":
    {"lose_and_regain": lose_and_regain, "lose": lose}[sys.argv[1]](Path(sys.argv[2]))
