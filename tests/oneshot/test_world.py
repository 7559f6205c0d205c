"""``World``: two workers train as one. Run as a program, this file is one of the two workers."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import TensorDataset

from raynas.mutators import RandomMutator
from raynas.nn import InputChoice, LayerChoice, freeze
from raynas.oneshot import Task, Trainer, TrainHooks, TrainOptions, World, write_checkpoint
from raynas.oneshot.methods import SposTrainer

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


def work(rank: int, folder: Path) -> None:
    """What one of two workers does; what it has found out is left in a file."""
    timeout = timedelta(seconds=40)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2, timeout=timeout)
    world = World(rank, 2)
    found: dict[str, Any] = {"broadcast": torch.full((2,), float(rank)), "mean": world.mean(torch.tensor([rank, 4.0 * rank]))}
    world.broadcast([found["broadcast"]])
    mixed = [nn.Parameter(torch.zeros(2, dtype=dtype)) for dtype in (torch.float32, torch.float64, torch.float32)]
    for parameter in mixed[:2]:
        parameter.grad = torch.full_like(parameter, rank + 1.0)
    found["mixed"] = world.sum_gradients(mixed), [parameter.grad for parameter in mixed]
    trainer = train(world)
    found["random"] = torch.rand(3)
    trainer.model.moving += rank
    write_checkpoint(trainer, folder / "checkpoint")
    trainer.average_buffers()
    found |= {"model": trainer.model.state_dict(), "bytes_sent": trainer.bytes_sent}
    torch.save(found, folder / f"found-{rank}.pt")
    dist.barrier()  # gloo may abort a process whose peer leaves before it
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two workers left behind."""
    folder = tmp_path_factory.mktemp("workers")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": os.pathsep.join(sys.path)}
    commands = [[sys.executable, "-W", "error", __file__, str(rank), str(folder)] for rank in range(2)]
    workers = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for command in commands]
    try:
        errors = [worker.communicate(timeout=60)[1].decode() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(errors)
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


def test_only_gradients_on_the_path_are_sent(found: list[dict[str, Any]], alone: Trainer) -> None:
    net = Net()
    mutator = RandomMutator(net, seed=SEED)
    expected = 0
    for _ in range(STEPS):
        path = mutator.sample_architecture()
        plain = freeze(net, path)
        skipped = {id(parameter) for parameter in plain.more.parameters()} if path["skip"].indices == (0,) else set()
        expected += sum(parameter.nbytes for parameter in plain.parameters() if id(parameter) not in skipped)
    assert [what["bytes_sent"] for what in found] == [expected, expected]
    assert expected < STEPS * sum(parameter.nbytes for parameter in net.parameters())
    assert alone.bytes_sent == 0


def test_statistics_are_averaged_and_dropout_differs(found: list[dict[str, Any]]) -> None:
    assert [what["model"]["moving"].tolist() for what in found] == [[0.5, 0.5]] * 2
    assert not torch.equal(found[0]["random"], found[1]["random"])


def test_each_worker_writes_its_own_file_and_rank_0_the_trainers(folder: Path) -> None:
    assert sorted(path.name for path in (folder / "checkpoint").iterdir()) == ["trainer.pt", "worker-0.pt", "worker-1.pt"]
    own = [torch.load(folder / "checkpoint" / f"worker-{rank}.pt")["buffers"]["moving"].tolist() for rank in range(2)]
    assert own == [[0, 0], [1, 1]]


def test_what_is_said_is_a_broadcast_a_mean_and_a_sum(found: list[dict[str, Any]]) -> None:
    for what in found:
        assert what["broadcast"].tolist() == [0, 0]
        assert what["mean"].tolist() == [0.5, 2]
        sent, gradients = what["mixed"]
        assert sent == 2 * 4 + 2 * 8
        assert [gradient.tolist() for gradient in gradients[:2]] == [[3, 3], [3, 3]]
        assert [gradient.dtype for gradient in gradients[:2]] == [torch.float32, torch.float64]
        assert gradients[2] is None


def test_one_worker_says_nothing() -> None:
    world, parameter = World(), nn.Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    assert world.sum_gradients([parameter]) == 0
    world.broadcast([parameter])
    mean = world.mean(parameter)
    mean += 1  # a new tensor
    assert (parameter.tolist(), parameter.grad.tolist(), mean.tolist()) == ([1, 1], [1, 1], [2, 2])


if __name__ == "__main__":
    work(int(sys.argv[1]), Path(sys.argv[2]))
