"""Single path one-shot: one path at a step, uniformly, the same for equal seeds."""

from collections import Counter

import torch
from torch import nn
from torch.utils.data import TensorDataset

from raynas.mutators import RandomMutator
from raynas.nn import LayerChoice
from raynas.oneshot import METHODS, Task, TrainHooks, TrainingJob, TrainOptions, World, make_trainer
from raynas.oneshot.methods import SposTrainer


class Watched(nn.Linear):
    """Writes down that it was computed."""

    def __init__(self, seen: list[int], index: int) -> None:
        super().__init__(2, 2)
        self.seen, self.index = seen, index

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:  # the dry run before training looks at every candidate too
            self.seen.append(self.index)
        return super().forward(x)


def train(seed: int, epochs: int = 1) -> tuple[SposTrainer, list[int]]:
    seen: list[int] = []
    data = TensorDataset(torch.randn(300, 2), torch.zeros(300, 2))
    task = Task(
        model=lambda: nn.Sequential(LayerChoice([Watched(seen, index) for index in range(3)], key="op")),
        loss=nn.functional.mse_loss,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        train_data=data,
        valid_data=data,
        batch_size=1,
    )
    trainer = make_trainer(TrainingJob(task, TrainOptions(epochs=epochs, seed=seed), method="spos"), World(), TrainHooks())
    trainer.train()
    assert isinstance(trainer, SposTrainer)
    return trainer, seen


def test_it_is_known_by_its_name() -> None:
    assert METHODS["spos"] is SposTrainer


def test_one_path_is_computed_at_each_step_each_as_often() -> None:
    _, seen = train(seed=0)
    assert len(seen) == 300
    assert all(70 < count < 130 for count in Counter(seen).values())


def test_equal_seeds_take_equal_paths_those_of_the_random_mutator() -> None:
    (trainer, seen), (_, again), (_, other) = train(seed=1), train(seed=1), train(seed=2)
    assert seen == again
    assert seen != other
    twin = RandomMutator(trainer.task.model(), seed=1)
    assert [twin.sample_architecture()["op"].indices[0] for _ in range(300)] == seen
