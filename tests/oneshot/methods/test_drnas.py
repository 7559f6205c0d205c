"""DrNAS: draws from the Dirichlet distribution, the gradient of the expected loss, the anchor."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from raynas.nn import LayerChoice
from raynas.oneshot import METHODS, Task, TrainHooks, TrainingJob, TrainOptions, World, make_trainer
from raynas.oneshot.methods import DrnasTrainer
from raynas.oneshot.methods.drnas import DirichletMutator

OUTPUTS = torch.tensor([1.5, 2.5], dtype=torch.float64)


class Constant(nn.Module):
    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x, self.number)


class Toy(nn.Module):
    """Mixes two numbers; 1 would be right."""

    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice([Constant(number) for number in OUTPUTS.tolist()], key="op")
        self.bias = nn.Parameter(torch.zeros(1))
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x) + self.bias


def make(**own: Any) -> DrnasTrainer:
    data = TensorDataset(torch.ones(8, 1, dtype=torch.float64), torch.ones(8, 1, dtype=torch.float64))
    task = Task(
        model=Toy,
        loss=nn.functional.mse_loss,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        train_data=data,
        valid_data=data,
        batch_size=1,
    )
    job = TrainingJob(task, TrainOptions(epochs=1), method="drnas", method_options=own)
    trainer = make_trainer(job, World(), TrainHooks())
    assert isinstance(trainer, DrnasTrainer)
    return trainer


def test_the_gradient_has_the_expectation_of_the_expected_loss() -> None:
    trainer = make()
    alpha = trainer.mutator.logits["op"]
    alpha.data = torch.tensor([0.7, -0.6], dtype=torch.float64)
    batch = trainer.batches.step(0, 0)
    drawn = torch.stack([torch.autograd.grad(trainer.surrogate(batch), [alpha])[0] for _ in range(600)])
    concentration = torch.stack([alpha[0] + 1, alpha[1].exp()])  # elu(alpha) + 1
    mean = concentration / concentration.sum()
    spread = mean[0] * mean[1] / (concentration.sum() + 1)  # variance of a weight
    loss = ((mean * OUTPUTS).sum() - 1) ** 2 + (OUTPUTS[0] - OUTPUTS[1]) ** 2 * spread
    (expected,) = torch.autograd.grad(loss, [alpha])
    errors = drawn.std(0) / len(drawn) ** 0.5
    assert ((drawn.mean(0) - expected).abs() < 5 * errors).all()  # fails once in 800,000 seeds
    assert (errors < 0.2 * expected.abs()).all()


def test_draws_are_dirichlet() -> None:
    mutator = DirichletMutator(LayerChoice([nn.Identity()] * 3, key="op"), "drnas", seed=0)
    mutator.logits["op"].data = torch.tensor([1.0, 0.0, -1.0])
    drawn = torch.stack([mutator.sample_search()["op"] for _ in range(1500)])
    concentration = torch.tensor([2.0, 1.0, torch.tensor(-1.0).exp()])
    mean = concentration / concentration.sum()
    variance = mean * (1 - mean) / (concentration.sum() + 1)
    assert ((drawn.mean(0) - mean).abs() < 5 * (variance / 1500).sqrt()).all()  # fails once in 600,000 seeds
    torch.testing.assert_close(drawn.var(0), variance, rtol=0.2, atol=0)
    torch.testing.assert_close(drawn.sum(1), torch.ones(1500))
    torch.testing.assert_close(mutator.probabilities()["op"].detach(), mean)


def test_logits_far_from_zero_still_draw_numbers() -> None:
    mutator = DirichletMutator(LayerChoice([nn.Identity()] * 2, key="op"), "drnas", seed=0)
    mutator.logits["op"].data = torch.tensor([-12.0, -12.0])
    for _ in range(50):
        weights = mutator.relax()["op"]
        assert float(weights.detach().sum()) == pytest.approx(1)
        (slope,) = torch.autograd.grad(weights[0], [mutator.logits["op"]])
        assert slope.isfinite().all()


def test_the_anchor_is_the_divergence_from_the_uniform_distribution() -> None:
    trainer = make()
    alpha = trainer.mutator.logits["op"]
    alpha.data = torch.zeros(2, dtype=torch.float64)
    assert float(trainer.penalty().detach()) == pytest.approx(0, abs=1e-12)
    alpha.data = torch.tensor([1.0, 1.0], dtype=torch.float64)
    x = torch.linspace(0, 1, 100_001, dtype=torch.float64)[1:-1]
    density = 6 * x * (1 - x)  # Dir(2, 2)
    expected = float(torch.trapezoid(density * density.log(), x))
    assert float(trainer.penalty().detach()) == pytest.approx(1e-3 * expected, rel=1e-3)


def test_the_anchor_stands_beside_the_cost() -> None:
    plain, dear = make(), make(cost="params", target=0.5, cost_weight=2.0)
    assert float((dear.penalty() - plain.penalty()).detach()) == pytest.approx(2 * (1 / 0.5 - 1))


def test_it_is_known_by_its_name() -> None:
    assert METHODS["drnas"] is DrnasTrainer
