"""Strict fairness: after each step every candidate of every key was trained equally often."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from raynas.errors import OptionError
from raynas.nn import InputChoice, LayerChoice, Repeat, ValueChoice
from raynas.oneshot import METHODS, Callback, Task, TrainHooks, TrainingJob, TrainOptions, World, make_trainer
from raynas.oneshot.methods import FairnasTrainer
from raynas.oneshot.methods.fairnas import FairMutator

Seen = Counter[tuple[str, int]]


class Watched(nn.Linear):
    """Writes down that it was computed."""

    def __init__(self, seen: Seen, key: str, index: int) -> None:
        super().__init__(2, 2)
        self.seen, self.place = seen, (key, index)

    def forward(self, x: Tensor) -> Tensor:
        self.seen[self.place] += self.training  # the dry run before training meets every candidate too
        return super().forward(x)


class Net(nn.Module):
    """Three keys of three candidates each, one of them an input choice."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.one = LayerChoice([Watched(seen, "one", index) for index in range(3)], key="one")
        self.two = LayerChoice([Watched(seen, "two", index) for index in range(3)], key="two")
        self.pick = InputChoice(n_candidates=3, n_chosen=1, key="pick")

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        return self.pick([x, x * 2, self.two(x)]) + self.two(x)


def make_task(model: Any, length: int = 12) -> Task:
    generator = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(length, 2, generator=generator), torch.randn(length, 2, generator=generator))
    return Task(
        model=model,
        loss=nn.functional.mse_loss,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        train_data=data,
        valid_data=data,
        batch_size=2,
    )


def make(model: Any, *callbacks: Callback) -> FairnasTrainer:
    job = TrainingJob(make_task(model), TrainOptions(epochs=1, seed=1), method="fairnas")
    trainer = make_trainer(job, World(), TrainHooks(callbacks=callbacks))
    assert isinstance(trainer, FairnasTrainer)
    return trainer


def test_it_is_known_by_its_name() -> None:
    assert METHODS["fairnas"] is FairnasTrainer


def test_every_candidate_is_trained_equally_often_after_each_step() -> None:
    seen, after = Seen(), list[Seen]()

    class Count(Callback):
        def on_step_end(self, trainer: Any, loss: Tensor) -> None:
            after.append(seen.copy())

    make(lambda: Net(seen), Count()).train()
    assert len(after) == 6
    for before, now in pairwise([Seen(), *after]):
        step = now - before
        assert [step["one", index] for index in range(3)] == [1, 1, 1]
        # each as the second layer once, and the one whose path also takes it as an input once more
        assert sorted(step["two", index] for index in range(3)) == [2, 2, 2]


def test_every_candidate_is_on_one_path_of_a_step_and_the_orders_are_independent() -> None:
    mutator, pairs = FairMutator(Net(Seen()), seed=0), Counter[tuple[int, int]]()
    for _ in range(600):
        paths = mutator.sample_paths()
        for key in mutator.space:
            assert sorted(path[key].indices[0] for path in paths) == [0, 1, 2]
        assert all(mutator.space.contains(path) for path in paths)
        pairs.update((path["one"].indices[0], path["two"].indices[0]) for path in paths)
    assert len(pairs) == 9
    assert all(150 < count < 250 for count in pairs.values())  # 200 each, if no key follows another one


def test_one_update_of_the_gradients_of_all_paths() -> None:
    trainer = make(lambda: Net(Seen()))
    twin = FairMutator(Net(Seen()), seed=1)
    paths = twin.sample_paths()
    other = make(lambda: Net(Seen()))
    batch = trainer.batches.step(0, 0)
    before = {name: parameter.detach().clone() for name, parameter in other.model.named_parameters()}
    assert all(torch.equal(before[name], parameter) for name, parameter in trainer.model.named_parameters())
    losses = []
    for path in paths:
        other.mutator.apply_architecture(path)
        losses.append(nn.functional.mse_loss(other.model(batch.inputs), batch.targets))
    sum(losses).backward()  # type: ignore[union-attr]
    mean = trainer.train_step(batch)
    assert torch.allclose(mean, torch.stack(losses).mean())
    gradients = {name: parameter.grad for name, parameter in other.model.named_parameters()}
    for name, parameter in trainer.model.named_parameters():
        assert torch.allclose(parameter, before[name] - 0.1 * gradients[name], atol=1e-6)


class Unfit(nn.Module):
    """Everything that strict fairness cannot be had with, between what it can."""

    def __init__(self) -> None:
        super().__init__()
        self.fit = LayerChoice([nn.Identity(), nn.Tanh()], key="fit")
        self.value = ValueChoice([1, 2], key="value")
        self.longer = LayerChoice([nn.Identity(), nn.Tanh(), nn.ReLU()], key="longer")
        self.some = InputChoice(n_candidates=2, n_chosen=None, key="some")
        self.both = InputChoice(n_candidates=2, n_chosen=2, key="both")
        self.body = Repeat(lambda index: LayerChoice([nn.Tanh(), nn.ReLU()], key=f"block{index}"), depth=(1, 2), key="depth")


def test_what_does_not_fit_is_refused_with_all_keys_and_why() -> None:
    with pytest.raises(OptionError, match="'fairnas'") as refused:
        make(Unfit)
    message = str(refused.value)
    assert "'longer' (has 3 candidates, others have 2)" in message
    assert "'some' (chooses any number of its inputs, not one)" in message
    assert "'both' (chooses 2 of its inputs, not one)" in message
    assert "'block1' (is active only for some choices of 'depth')" in message
    assert not any(f"'{key}' (" in message for key in ("fit", "value", "depth", "block0"))
