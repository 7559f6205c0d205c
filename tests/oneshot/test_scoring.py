"""Scores as means over samples, and exact batch-norm statistics."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from raynas.oneshot import Task, recalibrate, score
from raynas.oneshot.row_data import RowData
from tests.oneshot.rows import Rows

CPU = torch.device("cpu")
MakeTask = Callable[..., Task]


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def test_scores_are_weighted_by_samples(make_task: MakeTask) -> None:
    x = torch.tensor([1.0, 2, 3, 4, 50, 60, 7]).view(-1, 1)
    metrics = {"largest": lambda output, _: output.max()}
    task = make_task(loss=lambda output, target: (output - target).abs().mean(), metrics=metrics)
    scores = score(nn.Identity(), task, TensorDataset(x, torch.zeros(7, 1)), device=CPU, batch_size=3)
    assert scores.keys() == {"largest", "loss"}
    assert scores["largest"] == pytest.approx((3 * 3 + 60 * 3 + 7 * 1) / 7)
    assert scores["loss"] == pytest.approx(x.mean().item())


@pytest.mark.parametrize("training", [True, False])
def test_scoring_is_in_eval_mode_without_gradients_and_puts_the_mode_back(task: Task, training: bool) -> None:
    class Watcher(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            seen.append((self.training, torch.is_grad_enabled()))
            return super().forward(x)

    seen: list[tuple[bool, bool]] = []
    model = nn.Sequential(Watcher(4, 3), nn.Dropout()).train(training)
    before = modes(model)
    score(model, task, task.data("valid"), device=CPU)
    assert seen == [(False, False)]
    assert modes(model) == before


class Norms(nn.Module):
    """Norms of every sort, one of them behind a layer and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm1d(4, momentum=0.3)
        self.drop = nn.Dropout(0.5)
        self.middle = nn.Linear(4, 4)
        self.second = nn.BatchNorm1d(4, momentum=None, affine=False)
        self.untracked = nn.BatchNorm1d(4, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.untracked(self.second(self.middle(self.drop(self.first(x)))))


@pytest.mark.parametrize("training", [True, False])
def test_statistics_are_the_means_over_the_batches(training: bool) -> None:
    torch.manual_seed(0)
    model, x = Norms().train(training), torch.randn(64, 4) * 3 + 1
    model(x[:8])  # statistics of before do not count
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    recalibrate(model, TensorDataset(x, x), device=CPU, num_samples=48, batch_size=16)
    means, variances = (torch.stack([measure(part, 0) for part in x[:48].split(16)]) for measure in (torch.mean, torch.var))
    torch.testing.assert_close(model.first.running_mean, means.mean(0))
    torch.testing.assert_close(model.first.running_var, variances.mean(0))
    parts = [model.middle((p - p.mean(0)) / (p.var(0, correction=0) + 1e-5).sqrt()) for p in x[:48].split(16)]  # dropout is off
    torch.testing.assert_close(model.second.running_var, torch.stack([part.var(0) for part in parts]).mean(0))
    assert model.first.num_batches_tracked == 3
    assert (model.first.momentum, model.second.momentum) == (0.3, None)
    assert set(modes(model)) == {training}
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    statistics = {"running_mean", "running_var", "num_batches_tracked"}
    assert changed == {f"{norm}.{name}" for norm in ("first", "second") for name in statistics}


def test_no_batch_is_left_with_a_single_sample() -> None:
    model, x = nn.BatchNorm1d(4), torch.randn(257, 4)
    recalibrate(model, TensorDataset(x, x), device=CPU, num_samples=10_000)
    expected = torch.stack([x[:129].mean(0), x[129:].mean(0)]).mean(0)
    torch.testing.assert_close(model.running_mean, expected)


def test_a_model_without_norms_is_not_run() -> None:
    class Failing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError("there is nothing to compute")

    recalibrate(Failing(), TensorDataset(torch.ones(4, 4)), device=CPU, num_samples=4)


def test_of_data_that_can_only_be_iterated_the_first_samples_are_read() -> None:
    class Stream:
        num_read = 0

        def __iter__(self) -> Iterator[tuple[Tensor, int]]:
            for number in range(1_000):
                self.num_read += 1
                yield torch.tensor([float(number)]), 0

    stream, one, other = Stream(), nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    recalibrate(one, stream, device=CPU, num_samples=20)
    recalibrate(other, TensorDataset(torch.arange(20.0).view(-1, 1), torch.zeros(20)), device=CPU, num_samples=20)
    assert torch.equal(one.running_mean, other.running_mean)
    assert torch.equal(one.running_var, other.running_var)
    assert stream.num_read == 20


def test_of_rows_the_first_ones_are_read() -> None:
    x, one, other = torch.arange(300.0).view(-1, 1), nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    rows = Rows(input=x.numpy(), target=torch.zeros(300).numpy())
    recalibrate(one, RowData(rows), device=CPU, num_samples=100)
    recalibrate(other, TensorDataset(x, x), device=CPU, num_samples=100)
    assert torch.equal(one.running_mean, other.running_mean)
    assert rows.num_taken == 128  # a block of them at once
