"""Two workers train as one, with every method of the list ``RUNS``; to add a method, add a run.

Run as a program, this file is one of the two workers. Both are started once, for all runs.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import TensorDataset

from raynas.nn import InputChoice, LayerChoice
from raynas.oneshot import OneShotTrainer, Task, TrainHooks, TrainingJob, TrainOptions, World, make_trainer

STEPS, SEED, BATCH_SIZE = 20, 3, 9  # a batch is shared as 5 and 4
TIME_LIMIT = 180  # seconds, of both workers; 10 on an idle machine, most of them for imports

pytestmark = pytest.mark.timeout(TIME_LIMIT + 20)


class Net(nn.Module):
    """Double precision, and no batch norm: its statistics would be those of half a batch. A key lies inside another."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 6)
        inner = nn.Sequential(nn.Linear(6, 9), LayerChoice([nn.Tanh(), nn.ReLU()], key="inner.act"), nn.Linear(9, 6))
        self.op = LayerChoice([nn.Linear(6, 6), nn.Tanh(), inner], key="op")
        self.more = LayerChoice([nn.Linear(6, 6), nn.Identity()], key="more")
        self.skip = InputChoice(n_candidates=2, n_chosen=1, key="skip")
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.op(x)
        return self.skip([y, self.more(y)])


def make_task() -> Task:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(STEPS // 2 * BATCH_SIZE, 4, dtype=torch.float64, generator=generator)
    data = TensorDataset(inputs, inputs.repeat(1, 2)[:, :6].sin())
    return Task(
        model=Net,
        loss=nn.functional.mse_loss,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
        train_data=data,
        valid_data=TensorDataset(*(tensor[: len(data) // 2] for tensor in data.tensors)),
        batch_size=BATCH_SIZE,
    )


@dataclass(frozen=True)
class Run:
    """One training, in which all workers take one path (or mix) at a step.

    Attributes:
        method: its name in ``METHODS``.
        method_options: its options.
        accumulate: see ``TrainOptions``.
    """

    method: str
    method_options: dict[str, Any] = field(default_factory=dict)
    accumulate: int = 1

    @property
    def name(self) -> str:
        options = ",".join(f"{name}={value}" for name, value in self.method_options.items())
        return f"{self.method}({options}) in {self.accumulate}"

    def trainer(self, world: World) -> OneShotTrainer:
        """Not trained yet; with other weights on each worker, of which those of rank 0 count."""
        options = TrainOptions(epochs=2, seed=SEED, accumulate=self.accumulate)
        job = TrainingJob(make_task(), options, method=self.method, method_options=self.method_options)
        trainer = make_trainer(job, world, TrainHooks())
        assert isinstance(trainer, OneShotTrainer)
        return trainer


FAST = {"arch_lr": 0.05}
RUNS = [
    Run(method, {**FAST, **options}, accumulate)
    for method, options in (
        ("darts", {"order": 1}),
        ("darts", {"order": 2}),
        ("gdas", {}),
        ("proxyless", {"gradient": "binary", "cost": "latency", "target": 1e9}),
        ("proxyless", {"gradient": "reinforce"}),
        ("drnas", {}),
    )
    for accumulate in (1, 2)
]


def train(run: Run, world: World) -> dict[str, Any]:
    """What a training ends with."""
    trainer = run.trainer(world)
    trainer.train()
    tensors = {name: tensor.detach().clone() for name, tensor in trainer.shared_tensors()}
    return {"tensors": tensors, "exported": trainer.mutator.export_architecture().to_dict(), "signal": trainer.search_signal()}


def start_both(folder: Path) -> list[dict[str, dict[str, Any]]]:
    """Train every run with two workers; what each of them found, by the run's name."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": os.pathsep.join(sys.path)}
    commands = [[sys.executable, "-W", "error", __file__, str(rank), str(folder)] for rank in range(2)]
    workers = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for command in commands]
    try:
        errors = [worker.communicate(timeout=TIME_LIMIT)[1].decode() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            assert worker.stderr is not None
            worker.stderr.close()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(errors)
    return [torch.load(folder / f"found-{rank}.pt", weights_only=True) for rank in range(2)]


def work(rank: int, folder: Path) -> None:
    """What one of two workers does; what it has found is left in a file."""
    timeout = timedelta(seconds=TIME_LIMIT)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2, timeout=timeout)
    found = {run.name: train(run, World(rank, 2)) for run in RUNS}
    torch.save(found, folder / f"found-{rank}.pt")
    dist.barrier()  # gloo may abort a process whose peer leaves before it
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Any]]]:
    return start_both(tmp_path_factory.mktemp("workers"))


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_two_workers_end_with_the_weights_and_logits_of_one(run: Run, found: list[dict[str, dict[str, Any]]]) -> None:
    untrained = dict(run.trainer(World()).shared_tensors())
    alone = train(run, World())
    together = found[0][run.name]
    assert together["tensors"].keys() == alone["tensors"].keys()
    for name, tensor in alone["tensors"].items():
        torch.testing.assert_close(together["tensors"][name], tensor, rtol=0, atol=1e-6)
        assert not torch.equal(tensor, untrained[name]), f"{name} has learnt nothing"
    assert together["exported"] == alone["exported"]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_both_workers_have_the_same_bits(run: Run, found: list[dict[str, dict[str, Any]]]) -> None:
    one, other = (each[run.name] for each in found)
    assert all(torch.equal(tensor, other["tensors"][name]) for name, tensor in one["tensors"].items())
    assert one["signal"] == other["signal"]  # with the measured cost, which one of them has measured


if __name__ == "__main__":
    work(int(sys.argv[1]), Path(sys.argv[2]))
