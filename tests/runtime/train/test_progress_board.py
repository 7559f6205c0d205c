import time

import pytest
import ray

from raynas.errors import TrainingError
from raynas.runtime.train.progress_board import ProgressBoard, Watcher


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_what_is_put_is_seen_and_the_thread_ends() -> None:
    board = ray.remote(num_cpus=0)(ProgressBoard).remote()
    seen: list[tuple[int, int, dict[str, float]]] = []
    with Watcher(board, lambda *latest: seen.append(latest), every=0.05) as watcher:
        for step in (1, 2):
            ray.get(board.put.remote(step, 2, {"loss": 0.5}))
            deadline = time.monotonic() + 20
            while (step, 2, {"loss": 0.5}) not in seen and time.monotonic() < deadline:
                time.sleep(0.02)
    assert seen == [(1, 2, {"loss": 0.5}), (2, 2, {"loss": 0.5})]
    assert not watcher._thread.is_alive()


def test_the_first_failure_counts() -> None:
    board = ProgressBoard()
    assert board.failure() is None
    first, second = TrainingError("first"), TrainingError("second")
    board.fail(first)
    board.fail(second)
    assert board.failure() is first
