"""``World``: two workers train as one. Run as a program, this file is one of the two workers."""

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import TensorDataset

from raynas.errors import TrainingError
from raynas.mutators import RandomMutator
from raynas.nn import InputChoice, LayerChoice, freeze
from raynas.oneshot import Task, Trainer, TrainHooks, TrainOptions, World, write_checkpoint
from raynas.oneshot.methods import SposTrainer
from raynas.oneshot.workers.agreement import check_agreement
from raynas.storage import Storage

STEPS, SEED = 20, 3


class Net(nn.Module):
    """Double precision, and no batch norm: its statistics would be those of half a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 6)
        self.op = LayerChoice([nn.Linear(6, 6), nn.Identity(), nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 6))])
        self.more = LayerChoice([nn.Linear(6, 6), nn.Tanh()])
        self.skip = InputChoice(n_candidates=2, n_chosen=1)
        self.register_buffer("moving", torch.zeros(2))
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.op(x)
        return self.skip([y, self.more(y)])


def make_task() -> Task:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(STEPS // 2 * 9, 4, dtype=torch.float64, generator=generator)
    data = TensorDataset(inputs, inputs.repeat(1, 2)[:, :6].sin())
    return Task(
        model=Net,
        loss=nn.functional.mse_loss,
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=0.02),
        train_data=data,
        valid_data=data,
        batch_size=9,  # shared as 5 and 4
    )


def train(world: World) -> Trainer:
    torch.manual_seed(SEED + world.rank)  # other weights on each worker; those of rank 0 count
    trainer = SposTrainer(Net(), make_task(), TrainOptions(epochs=2, seed=SEED), world=world, hooks=TrainHooks())
    trainer.train()
    return trainer


def differs(world: World) -> list[str | None]:
    """What is said where nothing differs, where two tensors do by one bit or by their order, and where a text does."""
    one, two = torch.arange(5.0), torch.arange(5, dtype=torch.int16)
    other, swapped = two.clone(), one.clone()
    if world.rank:
        other[3] += 1
        swapped[0], swapped[1] = one[1].clone(), one[0].clone()
    cases = [
        ({"one": one, "two": two}, "a"),
        ({"two": other, "one": swapped}, "a"),
        ({"one": one, "two": two}, str(world.rank)),
    ]
    said: list[str | None] = []
    for tensors, text in cases:
        try:
            check_agreement(world, tensors, {"path": text})
        except TrainingError as error:
            said.append(str(error))
        else:
            said.append(None)
    return said


def work(rank: int, folder: Path) -> None:
    """What one of two workers does; what it has found out is left in a file."""
    timeout = timedelta(seconds=40)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2, timeout=timeout)
    world = World(rank, 2)
    found: dict[str, Any] = {"broadcast": torch.full((2,), float(rank)), "mean": world.mean(torch.tensor([rank, 4.0 * rank]))}
    world.broadcast([found["broadcast"]])
    mixed = [torch.full((2,), rank + 1.0, dtype=dtype) for dtype in (torch.float32, torch.float64, torch.float32)]
    world.sum(mixed)
    found["sum"] = mixed
    found["agree"] = [world.agree(True), world.agree(rank == 0), world.any(rank == 1), world.any(False)]
    found["extremes"] = [each.tolist() for each in world.extremes(torch.tensor([rank, 5 - rank]))]
    found["differs"] = differs(world)
    trainer = train(world)
    found["random"] = torch.rand(3)
    trainer.model.moving += rank
    write_checkpoint(trainer, Storage(folder / "checkpoint"))
    found["valid"] = trainer.validate()
    with trainer.weights_to_use():
        found["model"] = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    found |= {"own": trainer.model.moving, "bytes_sent": trainer.bytes_sent}
    torch.save(found, folder / f"found-{rank}.pt")
    dist.barrier()  # gloo may abort a process whose peer leaves before it
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, run_pair: Callable[[str, Path], None]) -> Path:
    """What two workers left behind."""
    folder = tmp_path_factory.mktemp("workers")
    run_pair(__file__, folder)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"found-{rank}.pt") for rank in range(2)]


@pytest.fixture(scope="module")
def alone() -> Trainer:
    return train(World())


def test_two_workers_end_with_the_weights_of_one(found: list[dict[str, Any]], alone: Trainer) -> None:
    torch.manual_seed(SEED)
    start = Net().state_dict()
    moved = 0
    for name, parameter in alone.model.named_parameters():
        torch.testing.assert_close(found[0]["model"][name], parameter.detach(), rtol=0, atol=1e-6)
        moved += not torch.equal(parameter, start[name])
    assert moved == len(list(alone.model.parameters()))  # every candidate was on some path


def test_both_workers_have_the_same_bits(found: list[dict[str, Any]]) -> None:
    one, other = (what["model"] for what in found)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_only_parameters_on_the_path_are_sent(found: list[dict[str, Any]], alone: Trainer) -> None:
    net = Net()
    mutator = RandomMutator(net, seed=SEED)
    expected = 0
    for _ in range(STEPS):
        path = mutator.sample_architecture()
        plain = freeze(net, path)
        parameters = list(plain.parameters())
        expected += sum(parameter.nbytes for parameter in parameters) + 4 * (len(parameters) + 1)  # a count each, and one more
    assert [what["bytes_sent"] for what in found] == [expected, expected]
    assert expected < STEPS * sum(parameter.nbytes for parameter in net.parameters())
    assert alone.bytes_sent == 0


def test_statistics_are_averaged_and_dropout_differs(found: list[dict[str, Any]]) -> None:
    assert [what["model"]["moving"].tolist() for what in found] == [[0.5, 0.5]] * 2
    assert [what["own"].tolist() for what in found] == [[0, 0], [1, 1]]  # each goes on with its own
    assert not torch.equal(found[0]["random"], found[1]["random"])


def test_each_worker_writes_its_own_file_and_rank_0_the_trainers(folder: Path) -> None:
    assert sorted(path.name for path in (folder / "checkpoint").iterdir()) == ["trainer.pt", "worker-0.pt", "worker-1.pt"]
    own = [torch.load(folder / "checkpoint" / f"worker-{rank}.pt")["buffers"]["moving"].tolist() for rank in range(2)]
    assert own == [[0, 0], [1, 1]]


def test_what_is_said_is_a_broadcast_a_mean_and_a_sum(found: list[dict[str, Any]]) -> None:
    for what in found:
        assert what["broadcast"].tolist() == [0, 0]
        assert what["mean"].tolist() == [0.5, 2]
        assert [tensor.tolist() for tensor in what["sum"]] == [[3, 3], [3, 3], [3, 3]]
        assert [tensor.dtype for tensor in what["sum"]] == [torch.float32, torch.float64, torch.float32]
        assert what["agree"] == [True, False, True, False]
        assert what["extremes"] == [[0, 4], [1, 5]]


def test_workers_that_no_longer_agree_are_told_what_differs_first(found: list[dict[str, Any]]) -> None:
    for what in found:
        assert what["differs"][0] is None
        assert "2 of 3 entries differ, the first is 'two'" in what["differs"][1]
        assert "1 of 3 entries differ, the first is 'path'" in what["differs"][2]


def test_validation_is_shared_and_says_the_same(found: list[dict[str, Any]], alone: Trainer) -> None:
    assert found[0]["valid"] == found[1]["valid"]
    assert found[0]["valid"]["loss"] == pytest.approx(alone.validate()["loss"], abs=1e-9)


def test_one_worker_says_nothing() -> None:
    world, tensor = World(), torch.ones(2)
    world.broadcast([tensor])
    world.sum([tensor])
    mean = world.mean(tensor)
    mean += 1  # a new tensor
    assert (tensor.tolist(), mean.tolist()) == ([1, 1], [2, 2])
    assert (world.agree(True), world.any(False)) == (True, False)


if __name__ == "__main__":
    work(int(sys.argv[1]), Path(sys.argv[2]))
