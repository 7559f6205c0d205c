"""What a step of single-path training costs: ours against a plain loop, against DistributedDataParallel, against no exchange.

overhead: one process, 12 choices of 6 blocks of width 64, batch 16, Adam: the trainer's whole step against the loop that one
would write by hand for given indices.
communication: two processes, the same with width 384 (53 M parameters), against DistributedDataParallel with
find_unused_parameters and against no exchange of gradients at all.
computation: two processes, convolutions.

All sides take the same paths, in turn within one run, in blocks of steps; the smallest time of a block counts. Bytes are those
handed to the collective. The last line is all figures as JSON; status 1 with --check: one is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file lies profile.py, which torch would import

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import TensorDataset

from raynas.mutators import RandomMutator
from raynas.nn import LayerChoice
from raynas.oneshot import Callback, Task, Trainer, TrainHooks, TrainOptions, World
from raynas.oneshot.methods import SposTrainer

CHOICES, CANDIDATES = 12, 6
WANTED = {"overhead": 1.05, "communication": 2.5, "computation": 1.0}


def linear_net(width: int) -> nn.Module:
    def block() -> nn.Module:
        return nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width), nn.Linear(width, width))

    return nn.Sequential(*(LayerChoice([block() for _ in range(CANDIDATES)]) for _ in range(CHOICES)))


def conv_net() -> nn.Module:
    def block(kernel: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(48, 48, kernel, padding=kernel // 2), nn.ReLU())

    body = (LayerChoice([block(kernel) for kernel in (3, 3, 3, 5, 5, 5)]) for _ in range(8))
    return nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10))


class Scenario:
    """A model and its data.

    Args:
        name: one of ``WANTED``.
        num_steps: of a block.
    """

    def __init__(self, name: str, num_steps: int) -> None:
        self.name, self.num_steps = name, num_steps
        self.batch_size = 16 if name != "computation" else 32
        width = 64 if name == "overhead" else 384
        self.make: Callable[[], nn.Module] = conv_net if name == "computation" else lambda: linear_net(width)
        shape = (3, 16, 16) if name == "computation" else (width,)
        outputs = (10,) if name == "computation" else (width,)
        count = num_steps * self.batch_size
        generator = torch.Generator().manual_seed(0)
        tensors = (torch.randn(count, *each, generator=generator) for each in (shape, outputs))
        self.data = TensorDataset(*tensors)

    def task(self) -> Task:
        return Task(
            model=self.make,
            loss=nn.functional.mse_loss,
            optimizer=make_optimizer,
            train_data=self.data,
            valid_data=self.data,
            batch_size=self.batch_size,
        )


def make_optimizer(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-4)


class Plain:
    """The loop as one would write it by hand, with a mutator or, alone in the process, with indices.

    Args:
        scenario: what is trained.
        world: the workers.
        exchange: whether ``DistributedDataParallel`` averages gradients.
    """

    def __init__(self, scenario: Scenario, world: World, *, exchange: bool) -> None:
        torch.manual_seed(0)
        self.scenario, self.world = scenario, world
        model = scenario.make()
        self.paths = RandomMutator(scenario.make(), seed=0)  # outside of what is timed
        self.layers: list[Any] = [layer.candidates if isinstance(layer, LayerChoice) else layer for layer in model.children()]
        self.model: nn.Module = Chain(self.layers)
        if exchange:
            self.model = DistributedDataParallel(self.model, find_unused_parameters=True)
        self.optimizer = make_optimizer(self.model.parameters())

    def block(self) -> float:
        """Seconds a step."""
        paths = [self.paths.sample_architecture() for _ in range(self.scenario.num_steps)]
        chosen = [[picked for (picked,) in path.indices.values()] for path in paths]
        inputs, targets = self.scenario.data.tensors
        order, size = torch.randperm(len(inputs)), self.scenario.batch_size
        start = time.perf_counter()
        for step, indices in enumerate(chosen):
            rows = order[step * size : (step + 1) * size][self.world.rank :: self.world.size]
            self.optimizer.zero_grad(set_to_none=True)
            loss = nn.functional.mse_loss(self.model(inputs[rows], indices), targets[rows])
            torch.autograd.backward(loss)
            self.optimizer.step()
        return (time.perf_counter() - start) / len(chosen)


class Chain(nn.Module):
    """Layers one after the other; of a list of layers the one that is told by index."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, indices: Sequence[int]) -> Tensor:
        left = iter(indices)
        for layer in self.layers:
            x = layer[next(left)](x) if isinstance(layer, nn.ModuleList) else layer(x)
        return x


class InTurn(Callback):
    """Times the trainer's epochs, and the other sides' blocks after each."""

    def __init__(self, others: dict[str, Plain]) -> None:
        self.others = others
        self.seconds: dict[str, list[float]] = {name: [] for name in ("raynas", *others)}

    def on_epoch_begin(self, trainer: Trainer) -> None:
        self.start = time.perf_counter()

    def on_step_end(self, trainer: Trainer, loss: Tensor) -> None:
        self.end = time.perf_counter()

    def on_epoch_end(self, trainer: Trainer) -> None:
        self.seconds["raynas"].append((self.end - self.start) / trainer.batches.steps_per_epoch)
        for name, other in self.others.items():
            self.seconds[name].append(other.block())


def measure(name: str, world: World, num_blocks: int, num_steps: int) -> dict[str, float]:
    """Milliseconds a step of every side, and what was sent."""
    scenario = Scenario(name, num_steps)
    others = {"plain": Plain(scenario, world, exchange=False)}
    if world.size > 1:
        others["ddp"] = Plain(scenario, world, exchange=True)
    turns = InTurn(others)
    torch.manual_seed(0)
    options = TrainOptions(epochs=num_blocks, decay_all=True)
    trainer = SposTrainer(scenario.make(), scenario.task(), options, world=world, hooks=TrainHooks(callbacks=(turns,)))
    trainer.train()
    figures = {f"{side}_ms": round(1e3 * min(seconds[1:]), 3) for side, seconds in turns.seconds.items()}
    if world.size == 1:
        return {**figures, "ratio": round(figures["raynas_ms"] / figures["plain_ms"], 3)}
    whole = sum(parameter.nbytes for parameter in trainer.parameters)
    return {
        **figures,
        "speed_of_ddp": round(figures["ddp_ms"] / figures["raynas_ms"], 3),
        "mb_a_step": round(trainer.bytes_sent / trainer.num_steps / 1e6, 3),
        "mb_of_all_parameters": round(whole / 1e6, 3),
    }


def work(name: str, rank: int, folder: Path, num_blocks: int, num_steps: int) -> None:
    """What one of two processes does; rank 0 leaves the figures."""
    torch.set_num_threads(1)
    timeout = timedelta(seconds=120)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2, timeout=timeout)
    figures = measure(name, World(rank, 2), num_blocks, num_steps)
    if rank == 0:
        (folder / "figures.json").write_text(json.dumps(figures))
    dist.barrier()
    dist.destroy_process_group()


def measure_pair(name: str, num_blocks: int, num_steps: int) -> dict[str, float]:
    """``measure`` in two processes that exchange gradients over the loopback interface."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    with tempfile.TemporaryDirectory() as folder:
        numbers = [str(num_blocks), str(num_steps)]
        commands = [[sys.executable, __file__, "--worker", name, str(rank), folder, *numbers] for rank in range(2)]
        workers = [subprocess.Popen(command, env=environment) for command in commands]
        try:
            if any(worker.wait(timeout=900) for worker in workers):
                raise SystemExit(f"{name}: a worker failed")
        finally:
            for worker in workers:
                worker.kill()
        figures: dict[str, float] = json.loads((Path(folder) / "figures.json").read_text())
        return figures


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        name, rank, folder, *numbers = sys.argv[2:]
        work(name, int(rank), Path(folder), *map(int, numbers))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--only", choices=WANTED, help="one of the three")
    parser.add_argument("--check", action="store_true", help="hold the figures to their targets; status 1: one is missed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    num_blocks = 4 if options.quick else 21
    sides: dict[str, Callable[[], dict[str, float]]] = {
        "overhead": lambda: measure("overhead", World(), 21, 20 if options.quick else 50),
        "communication": lambda: measure_pair("communication", num_blocks, 5 if options.quick else 10),
        "computation": lambda: measure_pair("computation", num_blocks, 3 if options.quick else 5),
    }
    figures: dict[str, Any] = {name: side() for name, side in sides.items() if options.only in (None, name)}
    missed = [name for name, found in figures.items() if "speed_of_ddp" in found and found["speed_of_ddp"] < WANTED[name]]
    missed += [name for name, found in figures.items() if "ratio" in found and found["ratio"] > WANTED[name]]
    figures |= {"wanted": WANTED, "missed": missed}
    sys.stdout.write(json.dumps(figures) + "\n")
    if options.check and missed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
