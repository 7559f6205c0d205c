"""``TrainBoard``: a checkpoint is whole when all workers of the latest start have written their part."""

import logging
from pathlib import Path

import pytest

from raynas.errors import CheckpointError, TrainingError
from raynas.oneshot import CheckpointStore
from raynas.runtime.train.train_board import TrainBoard
from raynas.storage import Storage


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(Storage(tmp_path))


@pytest.fixture
def board(store: CheckpointStore) -> TrainBoard:
    return TrainBoard(store)


def write(store: CheckpointStore, generation: int, step: int, name: str) -> dict[str, int]:
    """One worker's file."""
    store.folder_of(generation, step).write(name, b"1234")
    return {name: 4}


def test_all_workers_have_to_have_written(board: TrainBoard, store: CheckpointStore) -> None:
    generation, newest = board.begin(2)
    assert newest is None
    board.commit(generation, 5, write(store, generation, 5, "a"))
    board.commit(generation, 7, write(store, generation, 7, "a"))
    assert store.newest() is None
    board.commit(generation, 5, write(store, generation, 5, "b"))
    assert store.newest() == store.folder_of(generation, 5)
    assert board.begin(1) == (generation + 1, store.folder_of(generation, 5))
    assert not store.folder_of(generation, 7).names()


def test_a_part_from_before_a_new_start_does_not_count(board: TrainBoard, store: CheckpointStore) -> None:
    old, _ = board.begin(2)
    board.commit(old, 5, write(store, old, 5, "a"))
    new, _ = board.begin(2)
    board.commit(new, 5, write(store, new, 5, "b"))
    with pytest.raises(CheckpointError, match=f"start {old} is refused"):
        board.commit(old, 5, {"b": 4})
    assert store.newest() is None
    board.commit(new, 5, write(store, new, 5, "a"))
    assert store.newest() == store.folder_of(new, 5)


def test_what_one_worker_could_not_write_is_dropped_and_named_once(board: TrainBoard, store: CheckpointStore) -> None:
    generation, _ = board.begin(2)
    for name in ("a", "b"):
        board.commit(generation, 1, write(store, generation, 1, name))
    for step in (2, 3):
        board.commit(generation, step, "No space left on device")
        with pytest.raises(OSError, match="No space left"):
            board.commit(generation, step, write(store, generation, step, "b"))
        assert not store.folder_of(generation, step).names()
    assert store.newest() == store.folder_of(generation, 1)
    ((level, text),) = board.take_notes()
    assert level == logging.WARNING
    assert "step 2 cannot be written: No space left on device; training goes on" in text
    assert board.take_notes() == []


def test_another_driver_that_has_taken_over_is_named(board: TrainBoard, store: CheckpointStore) -> None:
    generation, _ = board.begin(1)
    other, _ = TrainBoard(store).begin(1)
    with pytest.raises(CheckpointError, match=f"since start {other} of this training goes on"):
        board.commit(generation, 3, write(store, generation, 3, "a"))


def test_an_error_of_workers_that_were_replaced_does_not_end_the_training(board: TrainBoard) -> None:
    old, _ = board.begin(2)
    new, _ = board.begin(2)
    board.fail_start(old, TrainingError("old"))
    assert board.failure() is None
    board.fail_start(new, TrainingError("new"))
    assert str(board.failure()) == "new"


def test_an_error_before_there_was_a_start_counts(board: TrainBoard) -> None:
    board.begin(2)
    board.fail_start(0, TrainingError("no device"))
    assert str(board.failure()) == "no device"


def test_what_training_came_to_is_kept_with_its_last_checkpoint(board: TrainBoard, store: CheckpointStore) -> None:
    assert board.finished() == (None, None)
    generation, _ = board.begin(1)
    board.commit(generation, 4, write(store, generation, 4, "a"))
    board.finish({"version": 1})
    assert board.finished() == ({"version": 1}, store.folder_of(generation, 4))


def test_who_was_waited_for_in_vain_is_named(board: TrainBoard) -> None:
    first, _ = board.begin(4)
    assert board.missing() == ""
    for rank in (3, 0):
        board.left_alone(first, rank)
    assert board.missing() == "the others waited in vain for rank 1, 2"
    second, _ = board.begin(2)
    board.left_alone(first, 1)  # late, and of workers that were replaced
    assert board.missing() == ""
    for rank in (0, 1):
        board.left_alone(second, rank)
    assert board.missing() == "", "each was waiting: nobody in particular is to blame"
    board.begin(1)
    assert [level for level, _ in board.take_notes()] == [logging.WARNING, logging.INFO]
