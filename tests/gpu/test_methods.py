"""Every method on a GPU, where there is one: a step, a checkpoint, a version of the weights, a trial that inherits them."""

from functools import partial
from pathlib import Path

import pytest
import torch

import raynas
from raynas.explore import Trial
from raynas.oneshot import METHODS, CheckpointStore, CheckpointWriter, CommitAlone, read_checkpoint
from raynas.oneshot.one_shot_trainer import OneShotTrainer
from raynas.storage import Storage
from raynas.weights import LocalStore, Registry
from tests.gpu.conftest import STEPS_PER_EPOCH, MakeTrainer, make_task

pytestmark = pytest.mark.parametrize("method", METHODS)


def check_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], device: torch.device) -> None:
    """To the bit on the CPU; a GPU adds in an order of its own."""
    tolerance = 0.0 if device.type == "cpu" else 1e-5
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance, check_device=False)


def test_a_step_is_made_where_the_weights_are(method: str, device: torch.device, make: MakeTrainer) -> None:
    trainer = make(method, device)
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    loss = trainer.train_step(trainer.batches.step(0, 0))
    assert loss.isfinite()
    moments = [moment for state in trainer.optimizer.state.values() for moment in state.values() if moment.dim()]
    assert moments
    assert trainer.ema is not None
    averages = [average for average in trainer.ema.state_dict().values() if isinstance(average, torch.Tensor)]
    there = [loss, *trainer.model.state_dict().values(), *moments, *averages]
    assert {tensor.device.type for tensor in there} == {device.type}
    assert any(not torch.equal(parameter, before[name]) for name, parameter in trainer.model.named_parameters())
    assert 0 <= trainer.validate()["accuracy"] <= 1


def test_training_goes_on_from_a_checkpoint(method: str, device: torch.device, make: MakeTrainer, tmp_path: Path) -> None:
    store = CheckpointStore(Storage(tmp_path))
    generation = store.begin()
    with CheckpointWriter(partial(store.folder_of, generation), CommitAlone(store, generation)) as writer:
        whole = make(method, device, save=writer.save)
        whole.train()
    torch.manual_seed(123)  # another process
    resumed = make(method, device)
    read_checkpoint(resumed, store.folder_of(generation, 6))
    assert (resumed.epoch, resumed.step) == (1, 6 - STEPS_PER_EPOCH)
    resumed.train()
    assert resumed.steps_done == 2 * STEPS_PER_EPOCH
    check_equal(resumed.model.state_dict(), whole.model.state_dict(), device)
    assert whole.ema is not None
    assert resumed.ema is not None
    check_equal(resumed.ema.state_dict(), whole.ema.state_dict(), device)  # type: ignore[arg-type]
    check_equal(dict(resumed.mutator.named_parameters()), dict(whole.mutator.named_parameters()), device)


def publish(trainer: OneShotTrainer) -> Registry:
    """A registry with the weights after one step."""
    trainer.train_step(trainer.batches.step(0, 0))
    registry = Registry("gpu", LocalStore())
    registry.publish(trainer.model)
    return registry


def test_what_is_published_is_fetched(method: str, device: torch.device, make: MakeTrainer) -> None:
    trainer = make(method, device)
    registry = publish(trainer)
    state = trainer.model.state_dict()
    fetched: dict[str, torch.Tensor] = {}
    for number in range(trainer.mutator.space.size):
        fetched |= registry.fetch(trainer.mutator.space.unrank(number))
    assert fetched.keys() == state.keys()
    assert all(tensor.device.type == "cpu" and not tensor.is_pinned() for tensor in fetched.values())
    assert all(torch.equal(fetched[name], tensor.cpu()) for name, tensor in state.items())
    assert registry.publish(trainer.model) == 2


def test_a_trial_inherits_the_weights(method: str, device: torch.device, make: MakeTrainer) -> None:
    registry = publish(make(method, device))
    evaluate = raynas.inherited(make_task(method), registry=registry, recalibration_samples=16)  # type: ignore[arg-type]
    evaluate.setup()
    assert evaluate.device.type == "cuda" or not torch.cuda.is_available()
    reported: list[dict[str, float]] = []
    for place in (device, torch.device("cpu")):
        evaluate.device = place
        evaluate.evaluate(Trial(0, evaluate.profiler.space.unrank(1), on_report=reported.append))
    assert set(reported[0]) == {"accuracy", "loss", "params", "flops"}
    assert reported[0] == pytest.approx(reported[1], rel=1e-3)
