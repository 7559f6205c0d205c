"""A cluster loses a machine and gets it back: training goes on with one worker, then with two. Run as a program, this is it."""

import functools
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runtime.train_program import STEPS, make_task, read_progress, report, train


def wait_for(what: Callable[[], bool], seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come")
        time.sleep(0.05)


def program(folder: Path) -> None:
    """Train with one to two workers while a node goes and comes. The cluster is changed in the main thread."""
    from ray.cluster_utils import Cluster

    from raynas.runtime import connect, disconnect

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = cluster.address
    connect()
    (folder / "slow").touch()
    log = functools.partial(report, folder)
    arguments = {"num_workers": (1, 2), "on_progress": log, "checkpoint_every": 2}
    training = threading.Thread(target=train, args=(make_task(), folder), kwargs=arguments, daemon=True)
    training.start()
    numbers = folder / "num_workers"
    for change, number in ((None, "2"), (lambda: cluster.remove_node(node), "1"), (lambda: cluster.add_node(num_cpus=1), "2")):
        start, steps = time.monotonic(), len(read_progress(folder))
        if change is not None:
            change()
        wait_for(lambda number=number, steps=steps: _says(numbers, number) and len(read_progress(folder)) > steps + 2)
        print(f"{number} workers after {time.monotonic() - start:.0f} s")  # noqa: T201
    (folder / "slow").unlink()
    training.join()
    disconnect()
    cluster.shutdown()


def _says(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


@pytest.mark.ray
@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_training_goes_on_with_one_and_then_with_two_workers(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    run = subprocess.run(
        [sys.executable, "-m", "tests.runtime.test_changing_workers", str(tmp_path)],
        env={**environment, "PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=850,
    )
    assert run.returncode == 0, run.stderr[-5000:]
    print(run.stdout)  # noqa: T201
    progress = read_progress(tmp_path)
    assert progress[-1][0] == STEPS
    assert {rate for *_, rate in progress} == {0.01}, "the learning rate does not depend on the number of workers"
    again = [step for (before, *_), (step, *_) in itertools.pairwise(progress) if step <= before]
    assert len(again) <= 2, "only what followed the last checkpoint was done again, after each of two changes"


if __name__ == "__main__":
    program(Path(sys.argv[1]))
