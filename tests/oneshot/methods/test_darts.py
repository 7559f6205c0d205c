"""DARTS: both orders against central differences, and what the second one leaves as it was."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.data import TensorDataset

from raynas.errors import OptionError
from raynas.nn import InputChoice, LayerChoice
from raynas.oneshot import METHODS, Batch, Task, TrainHooks, TrainingJob, TrainOptions, World, make_trainer
from raynas.oneshot.methods import DartsTrainer
from raynas.oneshot.methods.darts import DartsOptions

RATE = 0.3


class Net(nn.Module):
    """Double precision; a key inside another, and inputs of which two are taken."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Dropout(dropout))
        inner = LayerChoice([nn.Tanh(), nn.Softplus()], key="inner")
        self.op = LayerChoice([nn.Linear(5, 5), nn.Sequential(nn.Linear(5, 5), inner), nn.Sigmoid()], key="op")
        self.skip = InputChoice(n_candidates=3, n_chosen=2, key="skip")
        self.head = nn.Linear(5, 2)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(self.skip([x, self.op(x), x.sin()]))


def data(length: int, seed: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(length, 3, dtype=torch.float64, generator=generator)
    return TensorDataset(inputs, inputs[:, :2].exp())


def make(own: dict[str, Any], *, dropout: float = 0.0, **options: Any) -> DartsTrainer:
    task = Task(
        model=lambda: Net(dropout),
        loss=nn.functional.mse_loss,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=RATE),
        train_data=data(20, seed=1),
        valid_data=data(12, seed=2),
        batch_size=5,
    )
    job = TrainingJob(task, TrainOptions(**{"epochs": 1, **options}), method="darts", method_options=own)
    trainer = make_trainer(job, World(), TrainHooks())
    assert isinstance(trainer, DartsTrainer)
    return trainer


def loss(trainer: DartsTrainer, weights: dict[str, Tensor], batch: Batch) -> Tensor:
    return trainer.task.loss(functional_call(trainer.model, weights, (batch.inputs,)), batch.targets)


def gradient(trainer: DartsTrainer, batch: Batch) -> Tensor:
    return torch.cat(torch.autograd.grad(trainer.surrogate(batch), trainer.alphas))


def objective(trainer: DartsTrainer, rate: float, batch: Batch) -> float:
    """L_val(w - rate * grad_w L_train(w, alpha), alpha), by nothing but its definition."""
    trainer.mutator.reset()
    weights = dict(trainer.model.named_parameters())
    gradients = torch.autograd.grad(loss(trainer, weights, batch), list(weights.values()))
    moved = {name: weight.detach() - rate * step for (name, weight), step in zip(weights.items(), gradients, strict=True)}
    with torch.no_grad():
        return float(loss(trainer, moved, trainer.valid_batch()))


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("order", [1, 2])
def test_the_gradient_is_that_of_central_differences(order: int, accumulate: int) -> None:
    trainer = make({"order": order}, accumulate=accumulate)
    for alpha in trainer.alphas:
        alpha.data = torch.linspace(-1, 1, len(alpha), dtype=torch.float64)
    batch = trainer.batches.step(0, 0)
    found = gradient(trainer, batch)
    rate, small, expected = RATE if order == 2 else 0.0, 1e-5, []
    for alpha in trainer.alphas:
        for index in range(len(alpha)):
            start = float(alpha.data[index])
            sides = []
            for moved in (start + small, start - small):
                alpha.data[index] = moved
                sides.append(objective(trainer, rate, batch))
            alpha.data[index] = start
            expected.append((sides[0] - sides[1]) / (2 * small))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-4, atol=1e-7)
    other = make({"order": 3 - order})
    for mine, its in zip(trainer.alphas, other.alphas, strict=True):
        its.data = mine.data
    far = gradient(other, batch)
    assert (found - far).abs().max() > 0.01  # the two orders are told apart


def test_without_a_learning_rate_the_second_order_is_the_first() -> None:
    first, second = make({"order": 1}), make({"order": 2})
    second.optimizer.param_groups[0]["lr"] = 0.0
    found = [gradient(trainer, trainer.batches.step(0, 0)) for trainer in (first, second)]
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=0)


def test_the_second_order_leaves_weights_as_they_were_bit_for_bit() -> None:
    trainer = make({"order": 2}, dropout=0.5)
    before = [parameter.detach().clone() for parameter in trainer.parameters]
    trainer.architecture_step(trainer.batches.step(0, 0))
    assert all(torch.equal(old, new) for old, new in zip(before, trainer.parameters, strict=True))
    assert all(parameter.grad is None for parameter in trainer.parameters)


def test_dropout_drops_the_same_in_both_passes_over_training_data() -> None:
    trainer = make({"order": 2}, dropout=0.5, accumulate=2)
    seen: list[tuple[Tensor, Tensor]] = []
    trainer.model.stem.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output.detach() == 0)))
    trainer.architecture_step(trainer.batches.step(0, 0))
    first, valid, again = seen[:2], seen[2:4], seen[4:]
    for (inputs, dropped), (same, still) in zip(first, again, strict=True):
        assert torch.equal(inputs, same)
        assert torch.equal(dropped, still)
    assert not torch.equal(first[0][1], valid[0][1])


def test_a_model_without_weights_to_train_takes_the_first_order() -> None:
    found = []
    for order in (1, 2):
        trainer = make({"order": order})
        trainer.model.requires_grad_(False)
        found.append(gradient(trainer, trainer.batches.step(0, 0)))
    assert torch.equal(found[0], found[1])


def test_there_are_two_orders() -> None:
    assert METHODS["darts"] is DartsTrainer
    with pytest.raises(OptionError, match="order is 3; expected 1 or 2"):
        DartsOptions(order=3)
