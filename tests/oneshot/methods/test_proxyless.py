"""ProxylessNAS: both gradients against their expectation, what a step leaves unchanged, how many paths are computed."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from raynas.errors import OptionError
from raynas.nn import InputChoice, LayerChoice
from raynas.oneshot import METHODS, Task, TrainHooks, TrainingJob, TrainOptions, World, make_trainer
from raynas.oneshot.methods import ProxylessTrainer
from raynas.oneshot.methods.proxyless import GateMutator, ProxylessOptions

OUTPUTS = (1.5, 2.0, -1.0, 0.8)


class Constant(nn.Module):
    def __init__(self, number: float) -> None:
        super().__init__()
        self.number, self.calls = number, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.full_like(x, self.number)


class Toy(nn.Module):
    """Gives one of some numbers; 1 would be right."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.op = LayerChoice([Constant(number) for number in OUTPUTS[:count]], key="op")
        self.bias = nn.Parameter(torch.zeros(1))
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x) + self.bias


def make(count: int = 2, **own: Any) -> ProxylessTrainer:
    data = TensorDataset(torch.ones(8, 1, dtype=torch.float64), torch.ones(8, 1, dtype=torch.float64))
    task = Task(
        model=lambda: Toy(count),
        loss=nn.functional.mse_loss,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.0),
        train_data=data,
        valid_data=data,
        batch_size=1,
    )
    job = TrainingJob(task, TrainOptions(epochs=1), method="proxyless", method_options=own)
    trainer = make_trainer(job, World(), TrainHooks())
    assert isinstance(trainer, ProxylessTrainer)
    return trainer


@pytest.mark.parametrize("gradient", ["binary", "reinforce"])
def test_the_gradient_has_the_expectation_of_its_estimator(gradient: str) -> None:
    trainer = make(gradient=gradient)
    trainer.mutator.logits["op"].data = torch.tensor([0.4, -0.2], dtype=torch.float64)
    first, second = torch.softmax(trainer.mutator.logits["op"].detach(), 0).tolist()
    if gradient == "binary":  # equation 4: dL/dg is L'(the open one's output) times a candidate's output
        slope = first * 2 * (OUTPUTS[0] - 1) + second * 2 * (OUTPUTS[1] - 1)
        expected = first * second * slope * (OUTPUTS[0] - OUTPUTS[1])
    else:  # the derivative of the expected loss itself
        expected = first * second * ((OUTPUTS[0] - 1) ** 2 - (OUTPUTS[1] - 1) ** 2)
    batch = trainer.batches.step(0, 0)
    drawn = []
    for _ in range(500):
        trainer.mutator.baseline.fill_(0.7)  # any number that does not hang on the draw
        drawn.append(torch.autograd.grad(trainer.surrogate(batch), trainer.alphas)[0])
    values = torch.stack(drawn)[:, 0]
    error = float(values.std() / len(values) ** 0.5)
    assert abs(float(values.mean()) - expected) < 5 * error  # fails once in 1.7 million seeds
    assert error < 0.15 * abs(expected)


def test_the_baseline_is_the_moving_mean_of_losses() -> None:
    trainer = make(gradient="reinforce")
    assert "baseline" not in trainer.search_signal()
    batch, expected = trainer.batches.step(0, 0), None
    for _ in range(5):
        trainer.surrogate(batch)
        (index,) = trainer.mutator.decisions["op"].indices
        loss = (OUTPUTS[index] - 1) ** 2
        expected = loss if expected is None else 0.9 * expected + 0.1 * loss
    assert trainer.search_signal()["baseline"] == pytest.approx(expected)


def test_a_step_moves_two_candidates_and_no_other_probability() -> None:
    trainer = make(4, arch_lr=0.3)
    moved = 0
    for _ in range(20):
        before = trainer.mutator.probabilities()["op"].detach()
        trainer.architecture_step(trainer.batches.step(0, 0))
        after, pair = trainer.mutator.probabilities()["op"].detach(), list(trainer.mutator.pairs["op"])
        others = [index for index in range(4) if index not in pair]
        torch.testing.assert_close(after[others], before[others], rtol=1e-12, atol=0)
        torch.testing.assert_close(after[pair].sum(), before[pair].sum(), rtol=1e-12, atol=0)
        moved += bool((after[pair] - before[pair]).abs().min() > 0.01)
    assert moved > 10


def test_an_architecture_step_computes_two_candidates_and_a_weight_step_one() -> None:
    trainer = make(4)
    calls = [candidate.calls for candidate in trainer.model.op]
    trainer.architecture_step(trainer.batches.step(0, 0))
    after = [candidate.calls for candidate in trainer.model.op]
    assert sorted(new - old for old, new in zip(calls, after, strict=True)) == [0, 0, 1, 1]
    trainer.mutator.reset()
    trainer.model(torch.ones(1, 1))
    last = [candidate.calls for candidate in trainer.model.op]
    assert sorted(new - old for old, new in zip(after, last, strict=True)) == [0, 0, 0, 1]


def test_one_of_two_gates_is_open_by_the_probabilities_of_the_two() -> None:
    mutator = GateMutator(Toy(4), "proxyless", seed=0)
    mutator.logits["op"].data = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64).log()
    count = 1500
    opened = torch.stack([mutator.relax()["op"].detach() for _ in range(count)])
    assert opened.sum(1).eq(1).all()
    assert ((opened == 0) | (opened == 1)).all()
    p = [0.1, 0.2, 0.3, 0.4]  # a pair is drawn in either order, the gate within it
    pairs = [(i, j, p[i] * p[j] / (1 - p[i])) for i in range(4) for j in range(4) if i != j]
    expected = torch.zeros(4, dtype=torch.float64)
    for i, j, weight in pairs:
        expected[i] += weight * p[i] / (p[i] + p[j])
        expected[j] += weight * p[j] / (p[i] + p[j])
    errors = (expected * (1 - expected) / count).sqrt()
    assert ((opened.mean(0) - expected).abs() < 5 * errors).all()  # fails once in 400,000 seeds


def test_only_active_keys_count_in_the_probability_of_a_path() -> None:
    inner = LayerChoice([nn.Identity(), nn.Tanh()], key="inner")
    net = nn.Sequential(LayerChoice([nn.Identity(), nn.Sequential(inner)], key="op"))
    mutator = GateMutator(net, "proxyless", seed=0)
    mutator.logits["op"].data = torch.tensor([0.25, 0.75]).log()
    mutator.logits["inner"].data = torch.tensor([0.4, 0.6]).log()
    for op, inner_index, expected in ((0, 1, 0.25), (1, 1, 0.75 * 0.6), (1, 0, 0.75 * 0.4)):
        masks = {"op": torch.arange(2) == op, "inner": torch.arange(2) == inner_index}
        mutator.apply_on_model(masks)
        assert float(mutator.log_probability().exp().detach()) == pytest.approx(expected)


def test_a_key_with_one_candidate_keeps_it() -> None:
    trainer = make(1)
    trainer.train()
    assert trainer.mutator.export_architecture()["op"].indices == (0,)


def test_several_inputs_are_refused() -> None:
    net = nn.ModuleDict({"one": InputChoice(n_candidates=3, n_chosen=1), "two": InputChoice(n_candidates=3, n_chosen=2)})
    with pytest.raises(OptionError, match=r"keys 'two' \(n_chosen is 2, expected 1: one gate is open\);"):
        GateMutator(net, "proxyless")


def test_there_are_two_gradients() -> None:
    assert METHODS["proxyless"] is ProxylessTrainer
    with pytest.raises(OptionError, match="gradient 'ternary' does not exist; expected 'binary' or 'reinforce'"):
        ProxylessOptions(gradient="ternary")  # type: ignore[arg-type]
