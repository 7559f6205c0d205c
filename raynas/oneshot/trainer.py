"""The training loop, of plain models and, by inheritance, of supernets. Where it runs is not its business."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from raynas.errors import TrainingError
from raynas.oneshot.batches import TrainBatches
from raynas.oneshot.scoring import score
from raynas.oneshot.task import Task
from raynas.oneshot.world import World

Log = Callable[[int, int, dict[str, float]], None]  # steps done, steps in all, figures


@dataclass(frozen=True)
class TrainOptions:
    """How long and how.

    Attributes:
        epochs: passes over the training data.
        seed: of the weights, the order of the data and the architectures.
        log_every: steps between two calls of ``log``.
        checkpoint_every: epochs between two calls of ``on_checkpoint``.
    """

    epochs: int
    seed: int = 0
    log_every: int = 20
    checkpoint_every: int = 10


@dataclass(frozen=True)
class TrainHooks:
    """What is called while training goes on.

    Attributes:
        log: called every ``log_every`` steps with the steps done, the steps in all, and figures.
        on_checkpoint: called with the trainer where a checkpoint is due; the end of training is not one.
    """

    log: Log | None = None
    on_checkpoint: Callable[[Trainer], None] | None = None


class Trainer:
    """Trains one model, with one worker or many that each run this same code.

    Args:
        model: the same on all workers; rank 0's weights count.
        task: data, loss, optimizer.
        options: how long.
        world: the workers.
        hooks: what is called on the way.

    Attributes:
        epoch, step: where training is; ``step`` counts within the epoch.
        bytes_sent: what this worker has handed to collectives so far.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        options: TrainOptions,
        *,
        world: World,
        hooks: TrainHooks,
    ) -> None:
        self.task, self.options, self.world, self.hooks = task, options, world, hooks
        self.model = model.to(world.device)
        self.world.broadcast([*self.model.parameters(), *self.model.buffers()])
        self.batches = TrainBatches(task.data("train"), task.batch_size, seed=options.seed, world=world)
        self.num_steps = options.epochs * self.batches.steps_per_epoch
        self.optimizer, self.schedule = self.configure_optimizers()
        self.epoch = self.step = self.bytes_sent = 0
        self._parameters = list(self.model.parameters())
        torch.manual_seed(options.seed * 1_000 + 1 + world.rank)  # dropout: another stream for each worker

    def configure_optimizers(self) -> tuple[Optimizer, Any]:
        """The optimizer, and the learning-rate schedule or ``None``."""
        optimizer = self.task.optimizer(self.model.parameters())
        return optimizer, self.task.schedule(optimizer, self.num_steps) if self.task.schedule else None

    def train(self) -> None:
        """Train from where it stands to the last epoch."""
        self.model.train()
        while self.epoch < self.options.epochs:
            while self.step < self.batches.steps_per_epoch:
                inputs, targets, share = self.batches.step(self.epoch, self.step)
                loss = self.train_step(inputs, targets, share)
                self.step += 1
                self._log_step(loss)
            self.epoch, self.step = self.epoch + 1, 0
            due = self.epoch % self.options.checkpoint_every == 0 and self.epoch < self.options.epochs
            if due and self.hooks.on_checkpoint is not None:
                self.hooks.on_checkpoint(self)

    def train_step(self, inputs: Any, targets: Any, share: float) -> Tensor:
        """One step.

        Args:
            inputs: this worker's.
            targets: this worker's.
            share: this worker's part of all samples of the step; the losses so weighted add up to the mean loss.

        Returns:
            This worker's mean loss, a scalar.
        """
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.task.loss(self.model(inputs), targets)
        torch.autograd.backward(loss * share)
        self.bytes_sent += self.world.sum_gradients(self._parameters)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        return loss.detach()

    def validate(self) -> dict[str, float]:
        """The task's metrics on the validation data."""
        return score(self.model, self.task, self.task.data("valid"), device=self.world.device)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of training depends on, but for what each worker has of its own."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule is not None else None,
            "epoch": self.epoch,
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint: the same figures as if there had been no stop."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.step = state["epoch"], state["step"]

    def worker_state_dict(self) -> dict[str, Any]:
        """What this worker has of its own: running statistics and generators."""
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        cuda = torch.cuda.get_rng_state(self.world.device) if self.world.device.type == "cuda" else None
        return {"buffers": buffers, "rng": torch.get_rng_state(), "cuda_rng": cuda}

    def load_worker_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with this worker's own part of a checkpoint, after ``load_state_dict``."""
        self.model.load_state_dict(state["buffers"], strict=False)
        torch.set_rng_state(state["rng"])
        if state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"], self.world.device)

    def average_buffers(self) -> None:
        """Replace running statistics by their mean over the workers: before the model is used or published."""
        for buffer in self.model.buffers():
            if buffer.is_floating_point():
                buffer.copy_(self.world.mean(buffer))

    def _log_step(self, loss: Tensor) -> None:
        done = self.epoch * self.batches.steps_per_epoch + self.step
        if done % self.options.log_every and done != self.num_steps:
            return
        value = float(loss)
        if not math.isfinite(value):
            raise TrainingError(f"the loss is {value} at epoch {self.epoch}, step {self.step}{self.describe_step()}")
        if self.hooks.log is not None:
            self.hooks.log(done, self.num_steps, {"loss": value, "learning_rate": self.optimizer.param_groups[0]["lr"]})

    def describe_step(self) -> str:
        """What an error about this step should add."""
        return ""
