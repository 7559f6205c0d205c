"""``OneShotTrainer``: one decision before every step, and only what was decided is touched."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import TrainingError
from raynas.mutators import FixedMutator, Mutator, RandomMutator
from raynas.nn import freeze
from raynas.oneshot import Batch, OneShotTrainer, Task, TrainHooks, TrainOptions, World

MakeTask = Callable[..., Task]
PATH = {"op": {"_idx": 1}, "more": {"_idx": 1}}


class Forced(OneShotTrainer):
    """Always the same path."""

    def make_mutator(self, model: nn.Module, seed: int) -> Mutator:
        return FixedMutator(model, PATH)


class Drawn(OneShotTrainer):
    """Another path at each step."""

    def make_mutator(self, model: nn.Module, seed: int) -> Mutator:
        return RandomMutator(model, seed=seed)


def make_trainer(kind: type[OneShotTrainer], task: Task, **options: Any) -> OneShotTrainer:
    torch.manual_seed(0)
    return kind(
        task.model(), task, TrainOptions(**{"epochs": 1, "decay_all": True, **options}), world=World(), hooks=TrainHooks()
    )


def test_a_candidate_that_is_never_sampled_has_no_optimizer_state_and_keeps_its_weights(task: Task) -> None:
    trainer = make_trainer(Forced, task)
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    trainer.train()
    on_path = {name for name in before if name.startswith(("stem.", "head.", "op.candidates.1."))}
    named = dict(trainer.model.named_parameters())
    assert {name for name in named if named[name] in trainer.optimizer.state} == on_path
    assert {name for name in named if not torch.equal(named[name], before[name])} == on_path


def test_a_forced_path_learns_what_the_frozen_model_learns(task: Task) -> None:
    trainer = make_trainer(Forced, task)
    plain = freeze(trainer.model, PATH)
    trainer.train()
    torch.manual_seed(1)  # dropout: as for seed 0 on rank 0
    optimizer = task.optimizer(plain.parameters())
    assert task.schedule is not None
    schedule = task.schedule(optimizer, 3)
    for step in range(3):
        batch = trainer.batches.step(0, step)
        optimizer.zero_grad()
        task.loss(plain(batch.inputs), batch.targets).backward()
        optimizer.step()
        schedule.step()
    learnt = freeze(trainer.model, PATH).state_dict()
    assert all(torch.equal(learnt[name], tensor) for name, tensor in plain.state_dict().items())


def test_a_decision_is_made_before_every_step(task: Task) -> None:
    class Counting(FixedMutator):
        def reset(self) -> None:
            resets.append(steps[-1])
            super().reset()

    class Counted(OneShotTrainer):
        def make_mutator(self, model: nn.Module, seed: int) -> Mutator:
            return Counting(model, PATH)

        def train_step(self, batch: Batch) -> Tensor:
            steps.append(steps[-1] + 1)
            return super().train_step(batch)

    resets: list[int] = []
    steps = [0]
    trainer = make_trainer(Counted, task)
    resets.clear()
    trainer.train()
    assert resets == [1, 2, 3]


def test_a_nan_loss_names_the_path(make_task: MakeTask) -> None:
    task = make_task(loss=lambda output, _: output.sum() * float("nan"))
    with pytest.raises(TrainingError, match=r"epoch 0, step 1, on the path \{'op': \[1\], 'more': \[1\]\}"):
        make_trainer(Forced, task, log_every=1).train()


def test_a_method_must_say_which_mutator_it_takes(task: Task) -> None:
    with pytest.raises(TypeError, match="OneShotTrainer does not say which mutator it takes; define make_mutator"):
        make_trainer(OneShotTrainer, task)


def test_candidates_are_compiled_one_by_one(task: Task) -> None:
    """A path that is met for the first time compiles nothing that another one has compiled."""
    plain = make_trainer(Drawn, task)
    plain.train()
    compiled = make_trainer(Drawn, task, compile="aot_eager")
    compiled.train()
    assert [name for name, module in compiled.model.named_modules() if module._compiled_call_impl is not None] == [
        *(f"op.candidates.{index}" for index in range(3)),
        *(f"more.candidates.{index}" for index in range(2)),
    ]
    assert plain.model.state_dict().keys() == compiled.model.state_dict().keys()
    for name, tensor in plain.model.state_dict().items():
        torch.testing.assert_close(compiled.model.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)


def test_validation_scores_the_same_architectures_each_time_and_leaves_the_sequence_alone(task: Task) -> None:
    trainer, other = make_trainer(Drawn, task), make_trainer(Drawn, task)
    assert trainer.validate() == trainer.validate()  # before the first step, when nothing is decided yet
    trainer.mutator.reset()
    held = trainer.mutator.decisions
    trainer.validate()
    other.mutator.reset()
    assert {key: decision.indices for key, decision in trainer.mutator.decisions.items()} == {
        key: decision.indices for key, decision in held.items()
    }
    assert trainer.mutator.state_dict() == other.mutator.state_dict()


def test_batches_of_validation_data_come_in_turn(task: Task) -> None:
    trainer = make_trainer(Forced, task)  # 21 samples, of which 16 make a batch
    first = trainer.valid_batch().targets
    assert torch.equal(first, trainer.valid_batch().targets)
    trainer.step = 1
    assert len(trainer.valid_batch().targets) == 16
    assert not torch.equal(first, trainer.valid_batch().targets)
