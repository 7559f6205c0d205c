"""``TrainingJob``, and the trainer that is made of it."""

from typing import Any

import pytest
import torch

from raynas.errors import OptionError
from raynas.nn import ChoiceMutable
from raynas.oneshot import Task, Trainer, TrainHooks, TrainingJob, TrainOptions, World, make_trainer
from raynas.oneshot.methods import SposTrainer

PATH = {"op": {"_value": "1", "_idx": 1}, "more": {"_value": "1", "_idx": 1}}


def trainer(task: Task, seed: int = 0, **what: Any) -> Trainer:
    return make_trainer(TrainingJob(task, TrainOptions(epochs=1, seed=seed), **what), World(), TrainHooks())


@pytest.mark.parametrize(
    ("what", "epochs", "message"),
    [
        ({}, 1, "either a method or an architecture"),
        ({"method": "spos", "architecture": PATH}, 1, "either a method or an architecture"),
        ({"method": "drats"}, 1, "'drats' does not exist; expected one of .*spos"),
        ({"method": "spos"}, 0, "epochs is 0; expected an integer of at least 1"),
        ({"method": "spos", "method_options": {"smapling": "x"}}, 1, "'spos' has no option 'smapling'; it has sampling"),
        ({"method": "spos", "method_options": {"sampling": "x"}}, 1, "sampling 'x' does not exist"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(task: Task, what: dict[str, Any], epochs: int, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TrainingJob(task, TrainOptions(epochs=epochs), **what)


def test_a_method_trains_the_supernet_and_an_architecture_a_plain_model(task: Task) -> None:
    assert isinstance(trainer(task, method="spos"), SposTrainer)
    plain = trainer(task, architecture=PATH)
    assert type(plain) is Trainer
    assert not any(isinstance(module, ChoiceMutable) for module in plain.model.modules())


@pytest.mark.parametrize("what", [{"method": "spos"}, {"architecture": PATH}])
def test_equal_seeds_make_equal_weights(task: Task, what: dict[str, Any]) -> None:
    torch.manual_seed(99)
    states = [trainer(task, seed, **what).model.state_dict() for seed in (3, 3, 4)]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert not torch.equal(states[0]["head.weight"], states[2]["head.weight"])
