"""``CheckpointWriter``: training goes on meanwhile; a disk that is full costs the checkpoint, not the training."""

import errno
import logging
import threading
from functools import partial
from pathlib import Path

import pytest
import torch

import raynas.oneshot.checkpoints.writer as writer_module
from raynas.errors import CheckpointError, TrainingError
from raynas.oneshot import (
    CheckpointStore,
    CheckpointWriter,
    CommitAlone,
    Task,
    Trainer,
    TrainHooks,
    TrainingJob,
    TrainOptions,
    World,
    make_trainer,
    read_checkpoint,
)
from raynas.storage import Storage


def make(task: Task, hooks: TrainHooks | None = None) -> Trainer:
    options = TrainOptions(epochs=3, seed=2, checkpoint_every=2)
    return make_trainer(TrainingJob(task, options, method="spos"), World(), hooks or TrainHooks())


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(Storage(tmp_path))


def open_writer(store: CheckpointStore) -> CheckpointWriter:
    generation = store.begin()
    return CheckpointWriter(partial(store.folder_of, generation), CommitAlone(store, generation))


def fill_disk(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """So many files can be written, and no more."""
    write_state, written = writer_module.write_state, list[str]()

    def write(state: object, folder: Storage, name: str) -> int:
        written.append(name)
        if len(written) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_state(state, folder, name)

    monkeypatch.setattr(writer_module, "write_state", write)


def test_what_is_written_is_what_was_saved_though_training_went_on(
    task: Task, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write, write_state = threading.Event(), writer_module.write_state

    def write(state: object, folder: Storage, name: str) -> int:
        assert may_write.wait(20)
        return write_state(state, folder, name)

    monkeypatch.setattr(writer_module, "write_state", write)
    trainer = make(task)
    with open_writer(store) as writer:
        folder = Storage(writer.save(trainer))
        before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
        trainer.train()  # nothing can be written yet: it does not wait for that
        assert store.newest() is None
        may_write.set()
    assert store.newest() == folder
    again = make(task)
    read_checkpoint(again, folder)
    assert again.steps_done == 0
    for name, tensor in again.model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert not torch.equal(again.model.head.weight, trainer.model.head.weight)


def test_training_from_its_checkpoint_equals_training_in_one_go(task: Task, store: CheckpointStore) -> None:
    with open_writer(store) as writer:
        whole = make(task, TrainHooks(save=writer.save))
        whole.train()
    newest = store.newest()
    assert newest is not None
    again = make(task)
    read_checkpoint(again, newest)
    assert 0 < again.steps_done < whole.steps_done
    again.train()
    assert all(map(torch.equal, again.model.state_dict().values(), whole.model.state_dict().values()))


def test_a_full_disk_leaves_the_checkpoint_before_and_is_named_once(
    task: Task, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill_disk(monkeypatch, after=3)  # the first checkpoint of two files, and half of the second
    with open_writer(store) as writer, caplog.at_level(logging.WARNING):
        trainer = make(task, TrainHooks(save=writer.save))
        trainer.train()
        assert trainer.epoch == 3
        with pytest.raises(TrainingError, match=r"the last checkpoint, .* could not be written: .*No space left"):
            writer.save_last(trainer)
    newest = store.newest()
    assert newest is not None
    assert newest.place.endswith("-000000002")
    assert len(store.storage.folders()) == 1
    assert len([record for record in caplog.records if "No space left on device" in record.message]) == 1


def test_it_is_no_error_if_the_last_one_can_be_written_again(
    task: Task, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full, open_writer(store) as writer:
        fill_disk(full, after=0)
        trainer = make(task)
        writer.save(trainer)
        full.undo()
        assert Storage(writer.save_last(trainer)) == store.newest()


def test_training_ends_where_another_start_has_taken_over(task: Task, store: CheckpointStore) -> None:
    with open_writer(store) as writer:
        trainer = make(task, TrainHooks(save=writer.save))
        store.begin()
        with pytest.raises(CheckpointError, match="end one of the two"):
            trainer.train()
    assert trainer.steps_done < trainer.num_steps
    assert store.newest() is None
