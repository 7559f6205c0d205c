"""The sandwich rule: the largest, the smallest and random paths, of which all but the first learn from the first."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from raynas.errors import OptionError
from raynas.mutators import RandomMutator
from raynas.nn import InputChoice, LayerChoice, Linear, Repeat, ValueChoice
from raynas.oneshot import METHODS, Task, TrainHooks, TrainingJob, TrainOptions, World, make_trainer
from raynas.oneshot.methods import SandwichTrainer
from raynas.oneshot.methods.sandwich import Distillation, SandwichMutator, soft_cross_entropy


def block(index: int) -> nn.Module:
    """A nested depth, in a layer choice that may leave it out."""
    inner = Repeat(lambda _: nn.Linear(4, 4), depth=ValueChoice([2, 0, 1], key=f"inner{index}"))
    return LayerChoice([nn.Linear(4, 4), inner], key=f"op{index}")


class Net(nn.Module):
    """Widths that are not in order, depths within depths, and choices that have no size."""

    def __init__(self) -> None:
        super().__init__()
        self.width = ValueChoice([8, 16, 4], key="width")
        self.up, self.down = Linear(4, self.width), Linear(self.width, 4)
        self.body = Repeat(block, depth=(1, 3), key="depth")
        self.name = ValueChoice(["relu", "tanh"], key="name")
        self.pick = InputChoice(n_candidates=3, n_chosen=2, key="pick")

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(getattr(torch, self.name())(self.up(x)))
        return self.pick([x, self.body(x), x.sin()])


def classes(inputs: Tensor) -> Tensor:
    return inputs.argmax(1)


def make(options: dict[str, Any] | None = None, *, model: Any = Net, of: Any = classes, **train: Any) -> SandwichTrainer:
    inputs = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    targets = of(inputs)
    task = Task(
        model=model,
        loss=nn.functional.mse_loss if targets.is_floating_point() else nn.functional.cross_entropy,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        train_data=TensorDataset(inputs, targets),
        valid_data=TensorDataset(inputs, targets),
        batch_size=6,
    )
    job = TrainingJob(task, TrainOptions(epochs=1, seed=3, **train), method="sandwich", method_options=options or {})
    trainer = make_trainer(job, World(), TrainHooks())
    assert isinstance(trainer, SandwichTrainer)
    return trainer


def test_it_is_known_by_its_name() -> None:
    assert METHODS["sandwich"] is SandwichTrainer


def test_the_first_two_paths_are_the_largest_and_the_smallest_down_to_nested_depths() -> None:
    mutator, seen = SandwichMutator(Net(), seed=0), dict[str, set[Any]]()
    for _ in range(60):
        largest, smallest, *others = mutator.sample_paths(2)
        assert len(others) == 2
        for path, extremes in ((largest, (16, 3, 2)), (smallest, (4, 1, 0))):
            assert mutator.space.validate(path.to_dict()) == path
            assert list(path) == [key for key in mutator.space if key in path]
            assert (path["width"].value, path["depth"].value) == extremes[:2]
            inner = {key for key in path if key.startswith("inner")}
            assert inner == {f"inner{n}" for n in range(extremes[1]) if path[f"op{n}"].indices == (1,)}
            assert all(path[key].value == extremes[2] for key in inner)
            for key in ("name", "pick", "op0"):
                seen.setdefault(f"{key} {extremes}", set()).add(path[key].value)
    assert all(len(values) == (3 if key.startswith("pick") else 2) for key, values in seen.items()), seen


def test_the_other_paths_are_random_ones() -> None:
    mutator = SandwichMutator(Net(), seed=0)
    others = [path for _ in range(200) for path in mutator.sample_paths(2)[2:]]
    assert {path["width"].value for path in others} == {4, 8, 16}
    assert {path["depth"].value for path in others} == {1, 2, 3}


def test_a_step_trains_the_paths_of_the_mutator(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, applied = make({"num_random": 3}), list[Any]()
    twin = SandwichMutator(Net(), seed=3)
    apply = trainer.mutator.apply_architecture
    monkeypatch.setattr(trainer.mutator, "apply_architecture", lambda path: (applied.append(path), apply(path)))
    trainer.train()
    assert applied == twin.sample_paths(3) + twin.sample_paths(3)


def by_hand(trainer: SandwichTrainer, *, distill: bool) -> list[Tensor]:
    """The losses of the first step, on the same model."""
    batch, paths = trainer.batches.step(0, 0), SandwichMutator(Net(), seed=3).sample_paths(2)
    losses, teacher = [], torch.empty(0)
    for number, path in enumerate(paths):
        trainer.mutator.apply_architecture(path)
        output = trainer.model(batch.inputs)
        if number == 0 or not distill:
            losses.append(trainer.task.loss(output, batch.targets))
            teacher = output.detach()
        elif batch.targets.is_floating_point():
            losses.append(nn.functional.mse_loss(output, teacher))
        else:
            losses.append(-(teacher.softmax(1) * output.log_softmax(1)).sum(1).mean())
    return losses


@pytest.mark.parametrize("accumulate", [1, 2, 4])
@pytest.mark.parametrize("of", [classes, torch.sin], ids=["classes", "numbers"])
@pytest.mark.parametrize("distill", [True, False])
def test_the_gradient_is_the_one_computed_by_hand(distill: bool, of: Any, accumulate: int) -> None:
    other = make({"distill": distill}, of=of)
    losses = by_hand(other, distill=distill)
    torch.autograd.backward(sum(losses))
    trainer = make({"distill": distill}, of=of, accumulate=accumulate)
    mean = trainer.train_step(trainer.batches.step(0, 0))
    assert torch.allclose(mean, torch.stack(losses).mean().detach(), atol=1e-6)
    used = 0
    for parameter, expected in zip(trainer.model.parameters(), other.model.parameters(), strict=True):
        assert (parameter.grad is None) == (expected.grad is None)
        if expected.grad is not None:
            used += 1
            assert torch.allclose(parameter.grad, expected.grad, atol=1e-6)
    assert used >= 4


def test_soft_targets_and_hard_ones_differ_here() -> None:
    """Or the test above would not tell them apart."""
    trainer = make()
    soft, hard = (torch.stack(by_hand(trainer, distill=distill)) for distill in (True, False))
    assert torch.equal(soft[0], hard[0])
    assert not torch.isclose(soft[1:], hard[1:], rtol=1e-3).any()


def test_each_piece_learns_from_what_was_said_about_it() -> None:
    step = Distillation(nn.functional.cross_entropy)
    said = [torch.randn(2, 3, requires_grad=True) for _ in range(3)]
    target = torch.tensor([0, 2])
    assert all(torch.equal(step.teacher(each, target), nn.functional.cross_entropy(each, target)) for each in said)
    for _ in range(2):  # pupils
        for each in said:
            output = torch.randn(2, 3, requires_grad=True)
            loss = step.pupil(output, target)
            assert torch.equal(loss, soft_cross_entropy(output, each))
            loss.backward()
            assert output.grad is not None
    assert all(each.grad is None for each in said)  # the teacher does not learn from its pupils


def test_outputs_in_containers_are_handed_to_the_loss_without_their_graph() -> None:
    found = list[Any]()
    step = Distillation(lambda output, target: (found.append(target), output["a"][0].sum())[1])
    output = {"a": (torch.ones(2, requires_grad=True),)}
    step.teacher(output, torch.tensor([0, 1]))
    step.pupil(output, torch.tensor([0, 1]))
    assert found[1]["a"][0].tolist() == [1, 1]
    assert not found[1]["a"][0].requires_grad


def test_maps_of_classes_are_compared_point_by_point() -> None:
    step, target = Distillation(nn.functional.cross_entropy), torch.zeros(2, 4, 4, dtype=torch.long)
    teacher, output = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    step.teacher(teacher, target)
    expected = -(teacher.softmax(1) * output.log_softmax(1)).sum(1).mean()
    assert torch.allclose(step.pupil(output, target), expected, atol=1e-6)


def test_a_model_without_numbers_is_refused_with_its_keys() -> None:
    class Sizeless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.op = LayerChoice([nn.Identity(), nn.Tanh()], key="op")
            self.name, self.switch = ValueChoice(["a", "b"], key="name"), ValueChoice([False, True], key="switch")

    with pytest.raises(OptionError, match=r"'sandwich' cannot work with the keys 'op' \(a layer_choice .*'name'.*'switch'"):
        make(model=Sizeless)


def test_a_depth_is_a_number() -> None:
    model = nn.Sequential(Repeat(lambda _: nn.Linear(4, 4), depth=(1, 2), key="depth"))
    make(model=lambda: model).train()


@pytest.mark.parametrize("options", [{"num_random": -1}, {"num_random": 1.0}, {"distill": 1}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        make(options)


def test_the_random_paths_are_a_random_mutators() -> None:
    mutator = SandwichMutator(Net(), seed=5)
    assert mutator.sample_architecture() == RandomMutator(Net(), seed=5).sample_architecture()
