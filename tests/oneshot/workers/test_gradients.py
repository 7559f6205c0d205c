"""``GradientAverager``: what two workers make of gradients that not both have. Run as a program, this file is one."""

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from raynas.errors import TrainingError
from raynas.nn import LayerChoice
from raynas.oneshot import Task, TrainHooks, TrainOptions, World
from raynas.oneshot.methods import SposTrainer
from raynas.oneshot.workers.gradients import GradientAverager

SHARES = (5 / 9, 4 / 9)  # an odd batch of nine


class Branches(nn.Module):
    """Which layers take part depends on the worker."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.often, self.never, self.last = (nn.Linear(3, 3).double() for _ in range(4))

    def forward(self, x: Tensor, *, branch: bool, backwards: bool) -> Tensor:
        layers = [self.first, *([self.often] if branch else []), self.last]
        for layer in reversed(layers) if backwards else layers:
            x = layer(x).tanh()
        return x


def inputs_of(rank: int) -> Tensor:
    return torch.randn(5 - rank, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(rank))


def loss_of(model: Branches, rank: int, **how: bool) -> Tensor:
    return model(inputs_of(rank), **how).pow(2).mean() * SHARES[rank]


BOTH = {rank: {"branch": True, "backwards": False} for rank in range(2)}
CASES: dict[str, tuple[list[int], bool, dict[int, dict[str, bool]]]] = {
    # parameters that are expected (two a layer), the size of buckets, what each worker does
    "all alike": ([0, 1, 2, 3, 6, 7], False, BOTH),
    "tiny buckets": ([0, 1, 2, 3, 6, 7], True, BOTH),
    "one never used": (list(range(8)), True, BOTH),
    "a branch on rank 1": (
        list(range(8)),
        True,
        {0: {"branch": False, "backwards": False}, 1: {"branch": True, "backwards": False}},
    ),
    "another order on rank 1": (
        list(range(8)),
        True,
        {0: {"branch": True, "backwards": False}, 1: {"branch": True, "backwards": True}},
    ),
    "an unexpected branch on rank 1": (
        [0, 1, 6, 7],
        True,
        {0: {"branch": False, "backwards": False}, 1: {"branch": True, "backwards": False}},
    ),
    "nothing expected": ([], False, BOTH),
}


def average(rank: int, name: str) -> dict[str, Any]:
    """One step of a case, with the bytes that really went to the collective."""
    expected, tiny, how = CASES[name]
    model, sent = Branches(), []
    averager = GradientAverager(list(model.parameters()), 2, bucket_bytes=80 if tiny else 4 << 20)
    original = dist.all_reduce

    def counted(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        sent.append(tensor.nbytes)
        return original(tensor, *args, **kwargs)

    dist.all_reduce = counted
    try:
        averager.expect(expected)
        torch.autograd.backward(loss_of(model, rank, **how[rank]))
        during = len(sent)
        averager.finish()
    finally:
        dist.all_reduce = original
    gradients = [parameter.grad for parameter in model.parameters()]
    return {"gradients": gradients, "sent": sum(sent), "counted": averager.bytes_sent, "calls": len(sent), "during": during}


class Twice(nn.Module):
    """One key at two places, and a layer that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one = LayerChoice([nn.Linear(3, 3), nn.Tanh()], key="op")
        self.two = LayerChoice([nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 3))], key="op")
        self.shared = nn.Linear(3, 3)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.shared(self.two(self.shared(self.one(x))))


def train_twice(world: World) -> dict[str, Tensor]:
    inputs = torch.randn(45, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    data = TensorDataset(inputs, inputs.sin())
    task = Task(
        model=Twice,
        loss=nn.functional.mse_loss,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
        train_data=data,
        valid_data=data,
        batch_size=9,
    )
    torch.manual_seed(0)
    trainer = SposTrainer(Twice(), task, TrainOptions(epochs=2), world=world, hooks=TrainHooks())
    trainer.train()
    return trainer.model.state_dict()


def refuse_sparse() -> str:
    embedding = nn.Embedding(4, 2, sparse=True)
    averager = GradientAverager(list(embedding.parameters()), 2)
    averager.expect([0])
    try:
        embedding(torch.tensor([1])).sum().backward()
        averager.finish()
    except TrainingError as error:
        return str(error)
    return ""


def work(rank: int, folder: Path) -> None:
    """What one of two workers does; what it has found out is left in a file."""
    timeout = timedelta(seconds=30)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2, timeout=timeout)
    found: dict[str, Any] = {name: average(rank, name) for name in CASES}
    found |= {"twice": train_twice(World(rank, 2)), "sparse": refuse_sparse()}
    torch.save(found, folder / f"found-{rank}.pt")
    dist.barrier()  # gloo may abort a process whose peer leaves before it
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, run_pair: Callable[[str, Path], None]) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("workers")
    run_pair(__file__, folder)
    return [torch.load(folder / f"found-{rank}.pt") for rank in range(2)]


def expected_gradients(name: str) -> list[Tensor | None]:
    """The gradient of the mean loss, in one process."""
    model = Branches()
    torch.autograd.backward(loss_of(model, 0, **CASES[name][2][0]) + loss_of(model, 1, **CASES[name][2][1]))
    return [parameter.grad for parameter in model.parameters()]


@pytest.mark.parametrize("name", CASES)
def test_the_sum_is_the_gradient_of_the_mean_loss_and_what_nobody_used_has_none(found: list[dict[str, Any]], name: str) -> None:
    expected = expected_gradients(name)
    assert expected[4] is None
    for what in found:
        for gradient, wanted in zip(what[name]["gradients"], expected, strict=True):
            assert (gradient is None) == (wanted is None)
            if wanted is not None:
                torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_bytes_are_those_that_went_to_the_collective(found: list[dict[str, Any]], name: str) -> None:
    one, other = (what[name] for what in found)
    assert one["sent"] == one["counted"] == other["sent"] == other["counted"]
    assert one["calls"] == other["calls"]
    numbers, sizes = CASES[name][0], [9, 3] * 4
    if name not in ("an unexpected branch on rank 1", "nothing expected"):
        assert one["sent"] == 8 * sum(sizes[number] for number in numbers) + 4 * (len(numbers) + 1)


def test_buckets_are_sent_while_backward_runs(found: list[dict[str, Any]]) -> None:
    for what in found:
        assert what["tiny buckets"]["during"] >= 3
        assert what["all alike"]["during"] == 1  # one bucket
        assert (
            what["a branch on rank 1"]["during"] < what["a branch on rank 1"]["calls"] - 1
        )  # what is missing waits for the end


def test_a_key_and_a_layer_that_are_used_twice_train_as_in_one_process(found: list[dict[str, Any]]) -> None:
    alone = train_twice(World())
    for what in found:
        for name, tensor in alone.items():
            torch.testing.assert_close(what["twice"][name], tensor, rtol=0, atol=1e-9)


def test_sparse_gradients_are_refused(found: list[dict[str, Any]]) -> None:
    assert all("make the Embedding with sparse=False" in what["sparse"] for what in found)


def test_alone_nothing_is_sent_and_nothing_changes() -> None:
    model = Branches()
    averager = GradientAverager(list(model.parameters()), 1)
    averager.expect([0])
    torch.autograd.backward(loss_of(model, 0, branch=True, backwards=False))
    kept = [parameter.grad for parameter in model.parameters()]
    averager.finish()
    assert all(parameter.grad is gradient for parameter, gradient in zip(model.parameters(), kept, strict=True))
    assert averager.bytes_sent == 0


if __name__ == "__main__":
    work(int(sys.argv[1]), Path(sys.argv[2]))
