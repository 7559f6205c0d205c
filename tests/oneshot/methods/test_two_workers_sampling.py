"""Two workers with half of each batch learn what one learns with all of it, by each method that samples paths.

Run as a program, this file is both workers.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from raynas.mutators import RandomMutator
from raynas.nn import InputChoice, LayerChoice, Linear, Repeat, ValueChoice
from raynas.oneshot import METHODS, OneShotTrainer, Task, TrainHooks, TrainOptions, World
from raynas.oneshot.one_shot_trainer import state_digest
from raynas.oneshot.open_batches import open_batches

STEPS, SEED, BATCH = 20, 3, 9  # shared as 5 and 4
METHOD_OPTIONS: dict[str, dict[str, Any]] = {
    "fairnas": {},
    "sandwich": {},
    "enas": {"controller_every": 2, "num_samples": 3, "learning_rate": 0.02, "hidden_size": 8},
    "spos": {"sampling": "per_rank"},
}
CASES = [f"{method} {accumulate}" for method in METHOD_OPTIONS for accumulate in (1, 2)]


class Net(nn.Module):
    """Double precision, and no batch norm: its statistics would be those of half a batch."""

    def __init__(self, *, fair: bool) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 6)
        self.op = LayerChoice([nn.Linear(6, 6), nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 6))])
        self.more = LayerChoice([nn.Linear(6, 6), nn.Tanh()])
        self.skip = InputChoice(n_candidates=2, n_chosen=1)
        width = ValueChoice([3, 5], key="width")
        deep = Repeat(lambda index: LayerChoice([nn.Linear(6, 6), nn.Tanh()], key=f"block{index}"), depth=(0, 2), key="depth")
        self.sized = nn.Identity() if fair else nn.Sequential(Linear(6, width), nn.Tanh(), Linear(width, 6), deep)
        self.some = None if fair else InputChoice(n_candidates=2, n_chosen=None, key="some")
        self.head = nn.Linear(6, 3)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.sized(self.op(x))
        y = self.skip([y, self.more(y)])
        some = None if self.some is None else self.some([x, y.sin()])
        return self.head(y if some is None else y + some)


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(1) == target).double().mean()


def make_task(method: str) -> Task:
    inputs = torch.randn(STEPS // 2 * BATCH, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(inputs, (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0).long())
    return Task(
        model=lambda: Net(fair=method == "fairnas"),
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=0.02),
        train_data=data,
        valid_data=data,
        batch_size=BATCH,
    )


def make(case: str, world: World) -> OneShotTrainer:
    method, accumulate = case.split()
    task, options = make_task(method), TrainOptions(epochs=2, seed=SEED, accumulate=int(accumulate), log_every=5)
    torch.manual_seed(SEED + world.rank)  # other weights on each worker; those of rank 0 count
    kind = METHODS[method]
    own = kind.Options(**METHOD_OPTIONS[method])
    return kind(task.model(), task, options, world=world, hooks=TrainHooks(), method_options=own)


def train(case: str, world: World) -> dict[str, Any]:
    trainer = make(case, world)
    trainer.train()
    assert trainer.steps_done == STEPS
    return {
        "model": trainer.model.state_dict(),
        "controller": dict(trainer.mutator.named_parameters()),
        "mutator": state_digest({"": trainer.mutator.get_extra_state()}),
        "signal": trainer.search_signal(),
        "bytes_sent": trainer.bytes_sent,
    }


def train_paths_in_turn(accumulate: int) -> dict[str, Tensor]:
    """What ``per_rank`` sampling of two workers is to learn, in one process and without a trainer."""
    task = make_task("spos")
    torch.manual_seed(SEED)
    model = task.model()
    mutator = RandomMutator(model, seed=SEED)
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    spared = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed}, {"params": spared, "weight_decay": 0.0}], lr=0.02)
    parts = [open_batches(task.data("train"), BATCH, seed=SEED, world=World(rank, 2)) for rank in range(2)]
    for number in range(STEPS):
        paths = [mutator.sample_architecture() for _ in parts]
        optimizer.zero_grad()
        for path, part in zip(paths, parts, strict=True):
            mutator.apply_architecture(path)
            batch = part.step(*divmod(number, STEPS // 2))
            for piece in batch.split(accumulate):
                (task.loss(model(piece.inputs), piece.targets) * piece.size / BATCH).backward()
        optimizer.step()
    return model.state_dict()


def work(rank: int, folder: Path) -> None:
    """What one of two workers does; what it has found out is left in a file."""
    timeout = timedelta(seconds=40)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2, timeout=timeout)
    torch.save({case: train(case, World(rank, 2)) for case in CASES}, folder / f"found-{rank}.pt")
    dist.barrier()  # gloo may abort a process whose peer leaves before it
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two workers left behind, by case."""
    folder = tmp_path_factory.mktemp("workers")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", __file__, str(folder)]
    workers = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, start_new_session=True)
    try:
        errors = workers.communicate(timeout=90)[1].decode()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(workers.pid, signal.SIGKILL)
        workers.wait()
    assert workers.returncode == 0, errors
    return [torch.load(folder / f"found-{rank}.pt", weights_only=True) for rank in range(2)]


def check_close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.allclose(tensor, other[name], rtol=0, atol=1e-6), name


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("spos")])
def test_two_workers_end_with_the_weights_of_one(case: str, found: list[dict[str, Any]]) -> None:
    alone = train(case, World())
    check_close(found[0][case]["model"], alone["model"])
    check_close(found[0][case]["controller"], alone["controller"])
    assert found[0][case]["mutator"] == alone["mutator"]
    assert found[0][case]["signal"] == pytest.approx(alone["signal"])
    assert bool(alone["signal"]) is case.startswith("enas")
    torch.manual_seed(SEED)
    start = dict(make_task(case.split()[0]).model().named_parameters())
    assert all(not torch.equal(start[name], alone["model"][name]) for name in start)  # every candidate was on some path


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_path_for_each_worker_is_the_mean_over_the_paths_in_turn(accumulate: int, found: list[dict[str, Any]]) -> None:
    check_close(found[0][f"spos {accumulate}"]["model"], train_paths_in_turn(accumulate))


@pytest.mark.parametrize("case", CASES)
def test_both_workers_have_the_same_bits(case: str, found: list[dict[str, Any]]) -> None:
    one, other = (what[case] for what in found)
    for entry in ("model", "controller"):
        assert state_digest(one[entry]) == state_digest(other[entry])
    assert all(one[entry] == other[entry] for entry in ("mutator", "signal", "bytes_sent"))
    assert one["bytes_sent"] > 0


def work_together(folder: Path) -> None:
    """Both workers; PyTorch, with what its first optimizer imports, is imported once for both, which takes far longer."""
    make(CASES[0], World())
    other = multiprocessing.get_context("fork").Process(target=work, args=(1, folder))
    other.start()
    work(0, folder)
    other.join()
    assert other.exitcode == 0


if __name__ == "__main__":
    work_together(Path(sys.argv[1]))
