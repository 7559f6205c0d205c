"""Asynchronous weight sharing: workers train different paths at once and share their weights through the registry alone.

Each worker takes the newest weights of a path, trains them for some steps, and gives them back; what others have learnt
meanwhile is added to (compare Pham et al., "Efficient neural architecture search via parameter sharing", ICML 2018). Run it
with ``python examples/shared_weights.py``. It prints the mean accuracy of random architectures with the shared weights,
and with those of as many workers that each trained alone for as many steps.
"""

import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import ray
import torch
from torch import Tensor

import raynas
from raynas.mutators import RandomMutator
from raynas.oneshot import recalibrate, score
from raynas.runtime import connect, disconnect

DIGITS = Path(__file__).parent / "digits.py"
WORKERS, ROUNDS, STEPS = 4, 30, 8
CPU = torch.device("cpu")


def add_both(base: Tensor, current: Tensor, given: Tensor) -> Tensor:
    """What others have come to, and what this worker has learnt."""
    return current + (given - base)


class Worker:
    """Trains one path after the other, of weights that it shares with others, or keeps to itself."""

    def __init__(self, registry: raynas.WeightRegistry | None, seed: int) -> None:
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        self.task, _ = raynas.load_task_file(DIGITS)
        self.registry, self.model, self.rng = registry, self.task.model(), Random(seed)
        self.mutator = RandomMutator(self.model, seed=seed)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05)
        self.batches = self.endless_batches(seed)

    def train(self, num_rounds: int) -> None:
        for _ in range(num_rounds):
            path = self.mutator.space.sample(self.rng)
            if self.registry is None:
                self.train_path(path)
                continue
            with self.registry.lease() as version:
                self.registry.load_into(self.model, path, version=version)
                self.train_path(path)
                state, names = self.model.state_dict(), self.registry.fetch(path, version=version)
                self.registry.update(path, {name: state[name] for name in names}, version, merge=add_both)

    def train_path(self, path: raynas.Architecture) -> None:
        self.mutator.apply_architecture(path)
        self.model.train()
        for _ in range(STEPS):
            inputs, targets = next(self.batches)
            self.optimizer.zero_grad()
            self.task.loss(self.model(inputs), targets).backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()

    def weights(self) -> dict[str, Tensor]:
        return self.model.state_dict()

    def endless_batches(self, seed: int) -> Iterator[Any]:
        generator = torch.Generator().manual_seed(seed)
        while True:
            yield from torch.utils.data.DataLoader(self.task.data("train"), 64, shuffle=True, generator=generator)


def mean_accuracy(task: raynas.Task, weights: dict[str, Tensor], num_architectures: int = 12) -> float:
    """Of random architectures with these weights, on the validation data."""
    net = task.model()
    net.load_state_dict(weights)
    space, rng, found = raynas.generate_search_space(net), Random(1), []
    for _ in range(num_architectures):
        plain = raynas.freeze(net, space.sample(rng))
        recalibrate(plain, task.data("train"), device=CPU, num_samples=512)
        found.append(score(plain, task, task.data("valid"), device=CPU)["accuracy"])
    return statistics.mean(found)


def train(registry: raynas.WeightRegistry | None, num_rounds: int) -> list[dict[str, Tensor]]:
    """Let all workers train at once; the weights that each of them ends with."""
    remote = ray.remote(num_cpus=0.5)(Worker)
    workers = [remote.remote(registry, seed) for seed in range(WORKERS)]
    ray.get([worker.train.remote(num_rounds) for worker in workers])
    weights: list[dict[str, Tensor]] = ray.get([worker.weights.remote() for worker in workers])
    return weights


def compare(num_rounds: int = ROUNDS) -> dict[str, float]:
    """One supernet from all workers, beside one from each."""
    task, _ = raynas.load_task_file(DIGITS)
    torch.manual_seed(0)
    net = task.model()
    registry = raynas.WeightRegistry("shared-weights")
    registry.publish(net)
    train(registry, num_rounds)
    registry.load_into(net)
    alone = [mean_accuracy(task, weights) for weights in train(None, num_rounds)]
    stats = registry.stats()
    registry.close()
    return {
        "shared": round(mean_accuracy(task, net.state_dict()), 4),
        "alone_mean": round(statistics.mean(alone), 4),
        "alone_best": round(max(alone), 4),
        "steps_each": num_rounds * STEPS,
        "clashes": stats.clashes,
    }


if __name__ == "__main__":
    connect()
    sys.stdout.write(json.dumps(compare()) + "\n")
    disconnect()
