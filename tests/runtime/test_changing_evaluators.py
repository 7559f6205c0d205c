"""Machines come and go, and an evaluator elsewhere is killed, while a search runs on warm evaluators.

Run as a program, this is that search.
"""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import raynas
from raynas.explore.journal import read_events

NUM_TRIALS = 600
SPACE = raynas.SearchSpace({f"k{i}": {"_type": "choice", "_value": [0, 1, 2]} for i in range(8)})


def evaluate(folder: Path, trial: raynas.Trial) -> None:
    """Takes its time, and leaves where it ran; until all has changed there are always trials left."""
    import ray

    time.sleep(0.03 if (folder / "hurry").exists() else 0.3)
    with (folder / "ran").open("a") as file:
        file.write(f"{trial.id} {ray.get_runtime_context().get_node_id()} {os.getpid()}\n")
    trial.report(accuracy=trial.id)


def read_ran(folder: Path) -> list[list[str]]:
    """Trial, machine and process, as they ended."""
    path = folder / "ran"
    return [line.split() for line in path.read_text().splitlines() if line.count(" ") == 2] if path.exists() else []


def wait_for(what: Callable[[], bool], seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come")
        time.sleep(0.05)


def program(folder: Path) -> None:
    """Two machines come, an evaluator on one is killed, the other one goes. The cluster is changed in the main thread."""
    from ray.cluster_utils import Cluster

    from raynas.runtime import connect, disconnect

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    os.environ["RAY_ADDRESS"] = cluster.address
    connect()
    call = functools.partial(evaluate, folder)
    options: dict[str, Any] = {"num_trials": NUM_TRIALS, "storage_path": folder, "engine": "pool", "progress": False}
    searching = threading.Thread(target=lambda: raynas.search(SPACE, call, **options), daemon=True)
    searching.start()

    def wait_for_machines(number: int, but_not: str = "") -> None:
        start, since = time.monotonic(), len(read_ran(folder))
        wait_for(lambda: len({node for _, node, pid in read_ran(folder)[since:] if pid != but_not}) >= number)
        print(f"{number} machines after {time.monotonic() - start:.0f} s")  # noqa: T201

    wait_for_machines(1)
    (here,) = {node for _, node, _ in read_ran(folder)}
    nodes = [cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)]
    wait_for_machines(3)
    killed = next(pid for _, node, pid in reversed(read_ran(folder)) if node == nodes[1].node_id != here)
    os.kill(int(killed), signal.SIGKILL)
    wait_for_machines(3, but_not=killed)
    cluster.remove_node(nodes[0])
    time.sleep(2)
    wait_for_machines(2)
    (folder / "hurry").touch()
    searching.join()
    disconnect()
    cluster.shutdown()


@pytest.mark.ray
@pytest.mark.nightly
@pytest.mark.timeout(500)
def test_machines_that_come_are_used_and_one_that_goes_loses_nothing(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    run = subprocess.run(
        [sys.executable, "-m", "tests.runtime.test_changing_evaluators", str(tmp_path)],
        env={**environment, "PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=450,
    )
    assert run.returncode == 0, run.stderr[-5000:]
    print(run.stdout)  # noqa: T201
    events = read_events(tmp_path / "search" / "journal")
    finished = [event["id"] for event in events if event["event"] == "finished"]
    assert sorted(finished) == list(range(NUM_TRIALS))
    retried = [event for event in events if event["event"] == "retried"]
    assert [event["error"] for event in retried] == ["the worker of this trial died"], "of the evaluator that was killed"
    assert {event["node"] for event in events if event["event"] == "finished"} == {socket.gethostname()}
    assert json.loads((tmp_path / "search" / "result.json").read_text())["num_completed"] == NUM_TRIALS


if __name__ == "__main__":
    program(Path(sys.argv[1]))
