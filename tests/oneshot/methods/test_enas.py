"""ENAS: the controller learns from rewards by the right gradient, and the weights know nothing of it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from raynas.errors import OptionError
from raynas.mutators import ControllerMutator
from raynas.nn import InputChoice, LayerChoice, Repeat, ValueChoice
from raynas.oneshot import METHODS, Task, TrainHooks, TrainingJob, TrainOptions, World, make_trainer
from raynas.oneshot.methods import EnasTrainer
from raynas.oneshot.methods.enas import EnasOptions, Reinforce, kept_buffers, policy_losses

FAST = {"controller_every": 1, "num_samples": 4, "learning_rate": 0.02, "entropy_weight": 0.01, "hidden_size": 8}


class Zero(nn.Module):
    """A candidate that says nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0


class Every(nn.Module):
    """Every kind of mutable, and batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.op = LayerChoice([Zero(), LayerChoice([nn.Linear(4, 4), nn.Tanh()], key="inner"), nn.Identity()], key="op")
        self.body = Repeat(lambda index: nn.Linear(4, 4), depth=(0, 2), key="depth")
        self.two = InputChoice(n_candidates=3, n_chosen=2, key="two")
        self.some = InputChoice(n_candidates=2, n_chosen=None, key="some")
        self.name = ValueChoice(["sin", "tanh"], key="name")

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        some = self.some([x, x.cos()])
        x = self.two([x, getattr(torch, self.name())(x), self.body(x)])
        return self.op(x) + (0 if some is None else some)


class Toy(nn.Module):
    """One candidate lets through what the target is made of, the other does not."""

    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice([Zero(), nn.Identity()], key="op")
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.op(x))


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(1) == target).float().mean()


def make(model: Any = Toy, options: dict[str, Any] | None = None, *, metrics: Any = None, epochs: int = 1) -> EnasTrainer:
    inputs = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(inputs, (inputs[:, 0] > 0).long())
    task = Task(
        model=model,
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy} if metrics is None else metrics,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.5),
        train_data=data,
        valid_data=data,
        batch_size=16,
    )
    job = TrainingJob(task, TrainOptions(epochs=epochs, seed=2), method="enas", method_options=FAST | (options or {}))
    trainer = make_trainer(job, World(), TrainHooks())
    assert isinstance(trainer, EnasTrainer)
    return trainer


def test_it_is_known_by_its_name() -> None:
    assert METHODS["enas"] is EnasTrainer
    assert EnasTrainer.learns_architecture


@pytest.mark.parametrize("metrics", [{"accuracy": accuracy}, {}], ids=["accuracy", "loss"])
def test_it_comes_to_prefer_the_better_candidate(metrics: Any) -> None:
    trainer = make(metrics=metrics, epochs=25)
    trainer.train()
    assert trainer.mutator.export_architecture()["op"].indices == (1,)
    chances = trainer.mutator.log_prob_and_entropy(torch.tensor([[0], [1]]))[0].exp()
    assert chances[1] > 0.85
    signal = trainer.search_signal()
    assert [signal[name] for name in signal if name.startswith("alpha/op/")] == pytest.approx(chances.tolist())
    assert (trainer.search_signal()["controller/reward"] > 0.8) is bool(metrics)


def exact_value(mutator: ControllerMutator, draws: Tensor, rewards: Tensor, weight: float) -> Tensor:
    """E[reward] + weight * entropy, over all that can be drawn."""
    log_probs = mutator.log_prob_and_entropy(draws)[0]
    return (log_probs.exp() * (rewards - weight * log_probs)).sum()


@pytest.mark.parametrize("weight", [0.0, 0.7])
@pytest.mark.parametrize(
    ("model", "draws"),
    [
        (Toy, [[0], [1]]),
        (
            lambda: nn.Sequential(LayerChoice([Zero(), LayerChoice([nn.Tanh(), nn.ReLU(), Zero()], key="inner")], key="op")),
            [[0, -1], [1, 0], [1, 1], [1, 2]],
        ),
    ],
    ids=["two candidates", "nested"],
)
def test_the_gradients_expectation_is_the_exact_gradient(model: Any, draws: Any, weight: float) -> None:
    mutator = ControllerMutator(model(), hidden_size=4)
    for parameter in mutator.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    rewards, found = torch.tensor([0.3, 0.9, -0.5, 0.2])[: len(draws)].double(), torch.tensor(draws)
    log_probs, entropies = mutator.log_prob_and_entropy(found)
    losses = policy_losses(log_probs, entropies, rewards, baseline=0.4, entropy_weight=weight)
    parameters = list(mutator.parameters())
    expectation = torch.autograd.grad((log_probs.detach().exp() * losses).sum(), parameters)
    exact = torch.autograd.grad(exact_value(mutator, found, rewards, weight), parameters)
    assert any(bool((gradient.abs() > 1e-3).any()) for gradient in exact)
    for one, other in zip(expectation, exact, strict=True):
        assert torch.allclose(-one, other, atol=1e-10)


def test_a_step_descends_the_mean_and_moves_the_baseline() -> None:
    options = EnasOptions(learning_rate=0.1, entropy_weight=0.5, baseline_decay=0.75, hidden_size=4)
    mutator = ControllerMutator(Toy(), hidden_size=4)
    reinforce, before = Reinforce(mutator, options), [parameter.detach().clone() for parameter in mutator.parameters()]
    draws, rewards = torch.tensor([[0], [1]]), torch.tensor([0.0, 1.0], dtype=torch.float64)
    log_probs, entropies = mutator.log_prob_and_entropy(draws)
    first = 0.5 + 0.5 * float(entropies.detach().mean())
    expected = policy_losses(log_probs, entropies, rewards, baseline=first, entropy_weight=0.5).mean()
    gradients = torch.autograd.grad(expected, list(mutator.parameters()))
    reinforce.update(draws, rewards)
    assert reinforce.baseline == pytest.approx(first)  # the first mean
    for parameter, old, gradient in zip(mutator.parameters(), before, gradients, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradient)
        assert torch.allclose(parameter, old - 0.1 * gradient / (gradient.abs() + 1e-8))  # Adam's first step
    entropy = float(mutator.log_prob_and_entropy(draws)[1].detach().mean())
    reinforce.update(draws, rewards + 1)
    assert reinforce.baseline == pytest.approx(0.75 * first + 0.25 * (1.5 + 0.5 * entropy))
    assert reinforce.figures == {
        "controller/reward": 1.5,
        "controller/baseline": reinforce.baseline,
        "controller/entropy": pytest.approx(entropy),
    }


def test_the_reward_is_the_metric_on_this_steps_batch_of_validation_data() -> None:
    trainer = make()
    architectures = [trainer.mutator.space.unrank(number) for number in (0, 1, 0)]
    rewards = trainer.rewards(architectures)
    batch = trainer.valid_batch()
    for architecture, reward in zip(architectures, rewards.tolist(), strict=True):
        trainer.mutator.apply_architecture(architecture)
        assert reward == pytest.approx(float(accuracy(trainer.model(batch.inputs), batch.targets)))
    assert rewards.dtype == torch.float64


def test_scoring_leaves_statistics_mode_and_path_as_they_were() -> None:
    trainer = make(Every, {"controller_every": 2})
    trainer.train_step(trainer.batches.step(0, 0))
    kept = {name: buffer.clone() for name, buffer in trainer.model.named_buffers()}
    path, weights = trainer.mutator.applied_architecture(), [each.detach().clone() for each in trainer.model.parameters()]
    assert all(name.startswith("alpha/") for name in trainer.search_signal())
    trainer.train_controller()
    assert all(torch.equal(kept[name], buffer) for name, buffer in trainer.model.named_buffers())
    assert trainer.mutator.applied_architecture() == path
    assert all(torch.equal(old, new) for old, new in zip(weights, trainer.model.parameters(), strict=True))
    named = {name for name in trainer.search_signal() if not name.startswith("alpha/")}
    assert named == {"controller/reward", "controller/baseline", "controller/entropy"}


def test_running_statistics_come_back_even_after_an_error() -> None:
    norm = nn.BatchNorm1d(2)
    model = nn.Sequential(norm, nn.Linear(3, 3))  # of another width: it fails after the norm
    with pytest.raises(RuntimeError, match="shapes"), kept_buffers(model):
        model(torch.randn(4, 2))
    assert int(norm.num_batches_tracked) == 0
    assert norm.running_mean.tolist() == [0, 0]
    with kept_buffers(model):
        norm(torch.randn(4, 2))
        assert int(norm.num_batches_tracked) == 1
    assert int(norm.num_batches_tracked) == 0


def test_the_controller_learns_every_few_steps_and_not_from_the_loss_of_the_weights() -> None:
    trainer, changed = make(Every, {"controller_every": 3}, epochs=2), []
    for step in range(7):
        before = [parameter.detach().clone() for parameter in trainer.mutator.parameters()]
        trainer.epoch, trainer.step = divmod(step, 4)
        trainer.train_step(trainer.batches.step(trainer.epoch, trainer.step))
        now = trainer.mutator.parameters()
        changed.append(any(not torch.equal(old, new) for old, new in zip(before, now, strict=True)))
    assert changed == [False, False, True, False, False, True, False]


def test_it_works_with_every_kind_of_mutable_and_validates_what_is_likeliest() -> None:
    trainer = make(Every, epochs=3)
    trainer.train()
    state = trainer.mutator.get_extra_state()
    assert trainer.validate().keys() == {"accuracy", "loss"}
    assert trainer.mutator.get_extra_state() == state
    assert trainer.final_architectures() == [trainer.mutator.export_architecture()]


def test_a_model_with_nothing_to_choose_is_refused() -> None:
    with pytest.raises(OptionError, match=r"'enas' cannot work with the keys 'none' \(there is nothing to choose\)"):
        make(lambda: nn.Sequential(InputChoice(n_candidates=2, n_chosen=0, key="none")))


@pytest.mark.parametrize(
    "options",
    [
        {"controller_every": 0},
        {"num_samples": 1.5},
        {"hidden_size": True},
        {"learning_rate": 0},
        {"temperature": -1},
        {"tanh_constant": float("nan")},
        {"entropy_weight": -0.1},
        {"baseline_decay": 1.0},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        make(options=options)
