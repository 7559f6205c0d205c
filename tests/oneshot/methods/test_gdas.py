"""GDAS: one candidate at a time by its probability, and a gradient with the expectation of its definition."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from raynas.nn import InputChoice, LayerChoice
from raynas.oneshot import METHODS, Callback, Task, Trainer, TrainHooks, TrainingJob, TrainOptions, World, make_trainer
from raynas.oneshot.methods import GdasTrainer
from raynas.oneshot.methods.gdas import GumbelMutator


class Constant(nn.Module):
    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x, self.number)


class Toy(nn.Module):
    """Gives one of two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice([Constant(0.3), Constant(2.0)], key="op")
        self.bias = nn.Parameter(torch.zeros(1))
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x) + self.bias


def make(hooks: TrainHooks | None = None, **options: Any) -> GdasTrainer:
    data = TensorDataset(torch.ones(8, 1, dtype=torch.float64), torch.ones(8, 1, dtype=torch.float64))
    task = Task(
        model=Toy,
        loss=nn.functional.mse_loss,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        train_data=data,
        valid_data=data,
        batch_size=1,
    )
    job = TrainingJob(task, TrainOptions(**{"epochs": 1, **options}), method="gdas")
    trainer = make_trainer(job, World(), hooks or TrainHooks())
    assert isinstance(trainer, GdasTrainer)
    return trainer


def expected_slope(difference: float, temperature: float) -> float:
    """Of the first logit, by integration over the difference of two Gumbel variables, which is logistic.

    The candidate drawn has the slope dL/dw = L'(output) * output; the weights' slopes are +-s(1 - s) / temperature.
    """
    noise = torch.linspace(-60, 60, 600_001, dtype=torch.float64)
    density = torch.sigmoid(noise) * torch.sigmoid(-noise)
    apart = difference + noise
    soft = torch.sigmoid(apart / temperature)
    first, second = 2 * (0.3 - 1) * 0.3, 2 * (2.0 - 1) * 2.0
    slope = torch.where(apart > 0, first, -second) * soft * (1 - soft) / temperature
    return float(torch.trapezoid(density * slope, noise))


@pytest.mark.parametrize("temperature", [10.0, 0.5])
def test_the_gradient_has_the_expectation_of_the_straight_through_estimator(temperature: float) -> None:
    trainer = make()
    trainer.mutator.temperature = temperature
    trainer.mutator.logits["op"].data = torch.tensor([0.4, -0.2], dtype=torch.float64)
    batch = trainer.batches.step(0, 0)
    drawn = torch.stack([torch.autograd.grad(trainer.surrogate(batch), trainer.alphas)[0] for _ in range(600)])
    error = float(drawn[:, 0].std() / len(drawn) ** 0.5)
    assert abs(float(drawn[:, 0].mean()) - expected_slope(0.6, temperature)) < 5 * error  # fails once in 1.7 million seeds
    assert error < 0.2 * abs(expected_slope(0.6, temperature))
    torch.testing.assert_close(drawn.sum(1), torch.zeros(len(drawn), dtype=torch.float64))


def test_a_candidate_is_drawn_as_often_as_its_probability_says() -> None:
    choice = LayerChoice([Constant(0), Constant(1), Constant(2)], key="op")
    mutator = GumbelMutator(choice, "gdas", seed=0)
    mutator.logits["op"].data = torch.tensor([0.1, 0.3, 0.6]).log()
    masks = torch.stack([mutator.sample_search()["op"] for _ in range(1500)])
    assert masks.dtype == torch.bool
    assert masks.sum(1).eq(1).all()
    shares = masks.float().mean(0)
    expected = torch.tensor([0.1, 0.3, 0.6])
    assert ((shares - expected).abs() < 5 * (expected * (1 - expected) / 1500).sqrt()).all()  # once in 600,000 seeds


def test_weights_are_whole_for_several_inputs_too() -> None:
    skip = InputChoice(n_candidates=4, n_chosen=2, key="skip")
    mutator = GumbelMutator(skip, "gdas", seed=0)
    seen = set()
    for _ in range(200):
        weights = mutator.relax()["skip"]
        assert sorted(weights.tolist()) == [0, 0, 0.5, 0.5]
        mutator.apply_relaxed({"skip": weights})
        total = skip([torch.tensor(value) for value in (1.0, 10.0, 100.0, 1000.0)])
        mask = {"skip": weights != 0}
        mutator.apply_on_model(mask)
        assert float(total.detach()) == float(skip([torch.tensor(value) for value in (1.0, 10.0, 100.0, 1000.0)]))
        seen.add(tuple(mask["skip"].tolist()))
    assert len(seen) == 6


def test_the_temperature_falls_from_10_to_a_tenth_over_training() -> None:
    class Watch(Callback):
        def on_step_end(self, trainer: Trainer, loss: Tensor) -> None:
            assert isinstance(trainer, GdasTrainer)
            seen.append(trainer.search_signal()["temperature"])

    seen: list[float] = []
    make(TrainHooks(callbacks=(Watch(),)), epochs=2).train()
    assert len(seen) == 16
    assert (seen[0], seen[-1]) == pytest.approx((10, 0.1))
    assert torch.tensor(seen).diff().tolist() == pytest.approx([-9.9 / 15] * 15, rel=1e-3)


def test_it_is_known_by_its_name() -> None:
    assert METHODS["gdas"] is GdasTrainer
