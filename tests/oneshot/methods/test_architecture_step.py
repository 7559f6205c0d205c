"""``DifferentiableTrainer``: what holds for every method that learns an architecture by gradients."""

import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from raynas.errors import OptionError, TrainingError
from raynas.nn import InputChoice, LayerChoice, ValueChoice
from raynas.oneshot import Callback, Task, Trainer, TrainHooks, TrainingJob, TrainOptions, World, make_trainer
from raynas.oneshot.methods.architecture_step import DifferentiableOptions, DifferentiableTrainer

METHODS: list[tuple[str, dict[str, Any]]] = [
    ("darts", {}),
    ("darts", {"order": 2}),
    ("gdas", {}),
    ("proxyless", {}),
    ("proxyless", {"gradient": "reinforce"}),
    ("drnas", {}),
]
each_method = pytest.mark.parametrize(("method", "own"), METHODS, ids=[f"{method}{own or ''}" for method, own in METHODS])


class Times(nn.Module):
    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        return self.number * x


class Toy(nn.Module):
    """Its input is to come out; the worse candidates give some of the opposite, so that no mix is better than the best one."""

    def __init__(self) -> None:
        super().__init__()
        inner = LayerChoice({"minus": Times(-0.5), "whole": Times(1)}, key="inner")
        self.op = LayerChoice({"less": Times(-0.5), "least": Times(-1), "more": nn.Sequential(inner)}, key="op")
        self.skip = InputChoice(n_candidates=2, n_chosen=1, key="skip")
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.skip([-x, self.op(x)]) + self.bias


def toy_task(**changed: Any) -> Task:
    inputs = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    fields: dict[str, Any] = {
        "model": Toy,
        "loss": nn.functional.mse_loss,
        "optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.05),
        "train_data": TensorDataset(inputs, inputs),
        "valid_data": TensorDataset(inputs[:40], inputs[:40]),
        "batch_size": 4,
    }
    return Task(**(fields | changed))


def make(
    method: str, task: Task, own: dict[str, Any], hooks: TrainHooks | None = None, **options: Any
) -> DifferentiableTrainer:
    job = TrainingJob(task, TrainOptions(**{"epochs": 2, **options}), method=method, method_options=own)
    trainer = make_trainer(job, World(), hooks or TrainHooks())
    assert isinstance(trainer, DifferentiableTrainer)
    return trainer


@each_method
def test_the_better_candidates_are_found_in_nested_keys_and_inputs_too(method: str, own: dict[str, Any]) -> None:
    trainer = make(method, toy_task(), {"arch_lr": 0.1, **own})
    trainer.train()
    found = {key: choice.value for key, choice in trainer.mutator.export_architecture().items()}
    assert found == {"op": "more", "inner": "whole", "skip": ("1",)}
    assert all(float(each.detach().max()) > 0.6 for each in trainer.mutator.probabilities().values())


@each_method
def test_values_are_refused_when_it_is_made(method: str, own: dict[str, Any]) -> None:
    task = toy_task(model=lambda: nn.ModuleDict({"width": ValueChoice([1, 2]), "op": LayerChoice([nn.Linear(1, 1)])}))
    with pytest.raises(OptionError, match=rf"method '{method}' cannot work with the keys 'width' \(values cannot be mixed\);"):
        make(method, task, own)


class SaveAt(Callback):
    """Keeps a checkpoint of one step, as a file, and the loss of every step."""

    def __init__(self, step: int) -> None:
        self.step, self.file = step, io.BytesIO()
        self.losses: list[float] = []

    def on_step_end(self, trainer: Trainer, loss: Tensor) -> None:
        self.losses.append(float(loss))
        if trainer.steps_done == self.step:
            torch.save([trainer.state_dict(), trainer.worker_state_dict()], self.file)


@each_method
def test_a_resumed_training_ends_with_the_same_bits(method: str, own: dict[str, Any], make_task: Callable[..., Task]) -> None:
    own = {"arch_lr": 0.05, **own}
    whole = SaveAt(2)
    undisturbed = make(method, make_task(), own, TrainHooks(callbacks=(whole,)))
    undisturbed.train()
    rest = SaveAt(0)
    resumed = make(method, make_task(), own, TrainHooks(callbacks=(rest,)))
    whole.file.seek(0)
    trainers, workers = torch.load(whole.file, weights_only=True)
    resumed.load_state_dict(trainers)
    resumed.load_worker_state_dict(workers)
    resumed.train()
    assert rest.losses == whole.losses[2:]
    assert resumed.search_signal() == undisturbed.search_signal()
    expected = {**undisturbed.model.state_dict(), **undisturbed.mutator.state_dict()}
    found = {**resumed.model.state_dict(), **resumed.mutator.state_dict()}
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0, equal_nan=True)  # a baseline may not have begun


def test_an_architecture_step_leaves_the_weights_and_a_weight_step_the_logits() -> None:
    trainer = make("darts", toy_task(), {})
    weights = [parameter.detach().clone() for parameter in trainer.parameters]
    logits = [alpha.detach().clone() for alpha in trainer.alphas]
    trainer.architecture_step(trainer.batches.step(0, 0))
    assert all(torch.equal(old, new) for old, new in zip(weights, trainer.parameters, strict=True))
    assert all(parameter.grad is None for parameter in trainer.parameters)
    assert not any(torch.equal(old, new) for old, new in zip(logits, trainer.alphas, strict=True))
    logits = [alpha.detach().clone() for alpha in trainer.alphas]
    super(DifferentiableTrainer, trainer).train_step(trainer.batches.step(0, 0))
    assert all(torch.equal(old, new) for old, new in zip(logits, trainer.alphas, strict=True))
    assert not any(torch.equal(old, new) for old, new in zip(weights, trainer.parameters, strict=True))


def test_logits_stay_as_they_are_while_it_warms_up() -> None:
    trainer = make("darts", toy_task(), {"warmup_epochs": 1})
    start = [alpha.detach().clone() for alpha in trainer.alphas]
    trainer.options = TrainOptions(epochs=1)
    trainer.train()
    assert all(torch.equal(old, new) for old, new in zip(start, trainer.alphas, strict=True))
    trainer.options = TrainOptions(epochs=2)
    trainer.train()
    assert not any(torch.equal(old, new) for old, new in zip(start, trainer.alphas, strict=True))


@each_method
def test_a_cost_beyond_the_target_makes_the_cheap_candidate_likelier(method: str, own: dict[str, Any]) -> None:
    cheap = nn.Linear(3, 3)
    dear = nn.Sequential(nn.Linear(3, 20), nn.Linear(20, 3))
    task = toy_task(model=lambda: nn.Sequential(LayerChoice({"dear": dear, "cheap": cheap}, key="op")))
    own = {"arch_lr": 0.1, "cost": "params", "target": 20.0, "cost_weight": 50.0, **own}
    trainer = make(method, task, own, epochs=1)
    before = trainer.search_signal()["expected_cost"]
    trainer.train()
    after = trainer.search_signal()
    assert before == pytest.approx((12 + 143) / 2, rel=0.01)
    assert after["expected_cost"] < 30
    assert trainer.mutator.export_architecture()["op"].value == "cheap"


def test_the_penalty_is_how_far_the_expected_cost_exceeds_the_target() -> None:
    for target, expected in ((10.0, 3 * (12 / 10 - 1)), (12.0, 0.0), (100.0, 0.0)):
        task = toy_task(model=lambda: nn.Sequential(LayerChoice([nn.Linear(3, 3)], key="op")))
        penalty = make("darts", task, {"cost": "params", "target": target, "cost_weight": 3.0}).penalty()
        assert penalty is not None
        assert float(penalty.detach()) == pytest.approx(expected)
    assert make("darts", toy_task(), {}).penalty() is None


def test_the_log_has_probabilities_and_entropy() -> None:
    logged: list[dict[str, float]] = []
    hooks = TrainHooks(log=lambda done, steps, figures: logged.append(figures))
    make("darts", toy_task(), {}, hooks, epochs=1, log_every=30).train()
    assert len(logged) == 2
    figures = logged[-1]
    assert figures["alpha/op/less"] + figures["alpha/op/least"] + figures["alpha/op/more"] == pytest.approx(1)
    assert {"loss", "learning_rate", "entropy", "alpha/inner/whole", "alpha/skip/1"} <= set(figures)


def test_validation_data_without_a_finite_loss_stops_training() -> None:
    data = TensorDataset(torch.full((8, 3), torch.inf), torch.zeros(8, 3))
    with pytest.raises(TrainingError, match="the architecture's gradient is not finite in epoch 0, step 0, on the path"):
        make("darts", toy_task(valid_data=data), {}).train()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_has_about_the_same_gradient(precision: Any) -> None:
    whole, half = make("darts", toy_task(), {}), make("darts", toy_task(), {}, precision=precision)
    surrogates = [(trainer, trainer.surrogate(trainer.batches.step(0, 0))) for trainer in (whole, half)]
    found = [torch.cat(torch.autograd.grad(surrogate, trainer.alphas)) for trainer, surrogate in surrogates]
    torch.testing.assert_close(found[1], found[0], rtol=0.05, atol=0.01)
    assert found[0].abs().max() > 0.1


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"arch_lr": 0.0}, "arch_lr is 0.0; expected a number above 0"),
        ({"arch_lr": math.nan}, "arch_lr is nan"),
        ({"arch_weight_decay": -1.0}, "arch_weight_decay is -1.0; expected a number of at least 0"),
        ({"cost_weight": -1.0}, "cost_weight is -1.0"),
        ({"warmup_epochs": 1.5}, "warmup_epochs is 1.5; expected an integer of at least 0"),
        ({"cost": "memory", "target": 1.0}, "cost 'memory' does not exist; expected one of flops, params, latency"),
        ({"cost": "flops"}, "cost is 'flops' and target None; expected both or neither"),
        ({"target": 1.0}, "cost is None and target 1.0; expected both or neither"),
        ({"cost": "flops", "target": 0.0}, "target is 0.0; expected a number above 0"),
    ],
)
def test_options_out_of_range_are_refused(own: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        DifferentiableOptions(**own)
