import time
from typing import Any

import pytest
import ray

from raynas.errors import TrainingError
from raynas.runtime.train import progress_board
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


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_board_that_is_slow_at_the_end_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class SlowBoard(ProgressBoard):
        def fetch(self, num_seen: int) -> list[Row]:
            time.sleep(1)
            return super().fetch(num_seen)

    monkeypatch.setattr(progress_board, "LOOK_SECONDS", 0.2)  # of a look it never answers
    board = ray.remote(num_cpus=0)(SlowBoard).remote()
    seen: list[Any] = []
    with Watcher(board, seen.append, lambda *row: seen.append(row), every=0.05):
        ray.get(board.put.remote(Row(3, 3, {"loss": 0.25})))
    assert seen == [(3, 3, {"loss": 0.25})]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_board_that_is_gone_is_told(caplog: pytest.LogCaptureFixture) -> None:
    board = ray.remote(num_cpus=0)(ProgressBoard).remote()
    with Watcher(board, print, print):
        ray.kill(board)
    assert "the last figures of the training were lost" in caplog.text


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_rows_that_cannot_be_written_are_an_error() -> None:
    def log(step: int, num_steps: int, figures: dict[str, float]) -> None:
        raise OSError(28, f"No space left on device for {step}, {num_steps}, {figures}")

    board = ray.remote(num_cpus=0)(ProgressBoard).remote()
    ray.get(board.put.remote(Row(1, 3, {"loss": 0.25})))
    with pytest.raises(OSError, match="No space left on device for 1, 3"), Watcher(board, print, log, every=0.05) as watcher:
        watcher._thread.join(20)


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
