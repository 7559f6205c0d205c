import time
from typing import Any

import pytest
import ray

from raynas.errors import TrainingError
from raynas.runtime.train.progress_board import ProgressBoard, Row, Watcher


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_every_row_is_seen_once_in_its_order_and_the_thread_ends() -> None:
    board = ray.remote(num_cpus=0)(ProgressBoard).remote()
    seen: list[Any] = []
    with Watcher(board, seen.append, lambda *row: seen.append(row), every=0.05) as watcher:
        for row in (Row(0, 0, {}), Row(1, 3, {"loss": 0.5}), Row(2, 3, {"loss": 0.5}), Row(1, 0, {}), Row(2, 3, {"loss": 0.5})):
            ray.get(board.put.remote(row))
        deadline = time.monotonic() + 20
        while len(seen) < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        board.put.remote(Row(3, 3, {"loss": 0.25}))  # fetched as the block ends
        ray.get(board.failure.remote())
    assert seen == [0, (1, 3, {"loss": 0.5}), (2, 3, {"loss": 0.5}), 1, (2, 3, {"loss": 0.5}), (3, 3, {"loss": 0.25})]
    assert not watcher._thread.is_alive()


def test_an_answer_that_got_lost_is_given_again() -> None:
    board, rows = ProgressBoard(), [Row(step, 9, {"loss": 1.0}) for step in range(5)]
    for row in rows[:3]:
        board.put(row)
    assert board.fetch(0) == board.fetch(0) == rows[:3]
    for row in rows[3:]:
        board.put(row)
    assert (board.fetch(3), board.fetch(5), board.fetch(5)) == (rows[3:], [], [])


def test_the_first_failure_counts() -> None:
    board = ProgressBoard()
    assert board.failure() is None
    first, second = TrainingError("first"), TrainingError("second")
    board.fail(first)
    board.fail(second)
    assert board.failure() is first
