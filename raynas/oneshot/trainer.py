"""``Trainer``: the training loop, the same for a supernet and for one architecture, in one process and in many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from raynas.oneshot.batches import Batch
from raynas.oneshot.checkpoints.clock import CheckpointClock
from raynas.oneshot.checkpoints.fingerprint import check_fingerprint
from raynas.oneshot.checkpoints.generators import generators_state, restore_generators, seed_worker
from raynas.oneshot.early_stop import EarlyStop
from raynas.oneshot.loss_watch import LossWatch
from raynas.oneshot.moving_average import MovingAverage, averaged_buffers
from raynas.oneshot.open_batches import open_batches
from raynas.oneshot.optimizers import spare_from_decay
from raynas.oneshot.options import TrainHooks, TrainOptions
from raynas.oneshot.precision import MixedPrecision
from raynas.oneshot.scoring import score
from raynas.oneshot.task import Task
from raynas.oneshot.workers.agreement import check_agreement
from raynas.oneshot.workers.gradients import GradientAverager
from raynas.oneshot.workers.world import World

Loss = Callable[[Any, Any], Tensor]


class Trainer:
    """Trains one model, with one worker or many that each run this same code.

    To change what it does, inherit and override ``train_step``, ``validate`` or ``configure_optimizers``.

    Args:
        model: the same on all workers; rank 0's weights count.
        task: data, loss, optimizer.
        options: how long and how.
        world: the workers.
        hooks: what is called on the way.

    Attributes:
        epoch, step: where training is; ``step`` counts within the epoch.
        num_steps: steps in all, unless it stops early.
        figures: of the last validation.
    """

    def __init__(self, model: nn.Module, task: Task, options: TrainOptions, *, world: World, hooks: TrainHooks) -> None:
        self.task, self.options, self.world, self.hooks = task, options, world, hooks
        self.model = model.to(world.device)
        if options.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        world.broadcast([*self.model.parameters(), *self.model.buffers()])
        self.batches = open_batches(
            task.data("train"), task.batch_size, seed=options.seed, world=world, steps_per_epoch=options.steps_per_epoch
        )
        self.num_steps = options.epochs * self.batches.steps_per_epoch
        self.parameters, self.early_stop = list(self.model.parameters()), EarlyStop(options.patience, task.objective[1])
        self.optimizer, self.schedule = self.configure_optimizers()
        self.precision = MixedPrecision(options.precision, world.device)
        self.averager = GradientAverager(self.parameters, world.size)
        self.ema = MovingAverage(self.model, options.ema) if options.ema is not None else None
        self.epoch, self.step, self._stopping = 0, 0, False
        self.figures: dict[str, float] = {}
        self._watch, self._clock = LossWatch(world), CheckpointClock(options, world, self.batches.checkpoint_unit)
        if options.compile is not None:
            self.compile(options.compile)
        seed_worker(options.seed, world.rank)

    # What a subclass may override

    def configure_optimizers(self) -> tuple[Optimizer, Any]:
        """The optimizer, and the learning-rate schedule or ``None``."""
        optimizer = self.task.optimizer(self.model.parameters())
        if not self.options.decay_all:
            spare_from_decay(optimizer)
        return optimizer, self.task.schedule(optimizer, self.num_steps) if self.task.schedule else None

    def train_step(self, batch: Batch) -> Tensor:
        """One step on this worker's part of a batch; gives this worker's mean loss, a scalar."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.add_gradients(batch, expected=self.active_parameters())
        self.update()
        return loss

    def validate(self) -> dict[str, float]:
        """The task's metrics on the validation data, shared by the workers, with the weights that are to be used."""
        with self.weights_to_use():
            return self.score_valid()

    def compile(self, backend: str) -> None:
        """Have the model compiled, in place."""
        self.model.compile(backend=backend)

    def describe_step(self) -> Callable[[], str]:
        """Gives what an error about this step should add, if there is one."""
        return str

    def search_signal(self) -> dict[str, float]:
        """What the log should say beside loss and learning rate."""
        return {}

    # The loop

    def train(self) -> None:
        """Train from where it stands to the last epoch, or until it is stopped."""
        self.model.train()
        while self.epoch < self.options.epochs and not self._stopping:
            for callback in self.hooks.callbacks:
                callback.on_epoch_begin(self)
            while self.step < self.batches.steps_per_epoch:
                batch = self.batches.step(self.epoch, self.step)
                loss = self.train_step(batch)
                self.step += 1
                self._after_step(batch, loss)
            self._end_epoch()

    def stop(self) -> None:
        """End training after this epoch. One worker's word is enough."""
        self._stopping = True

    def add_gradients(self, batch: Batch, *, expected: Sequence[int] | None, loss: Loss | None = None) -> Tensor:
        """Add the gradient of the step's mean loss to what the parameters have.

        Args:
            batch: this worker's part.
            expected: numbers of the parameters that take part on any worker, in ascending order: this is the last
                backward pass of the step, and what arrives is sent at once. ``None``: another one follows.
            loss: instead of the task's.

        Returns:
            This worker's mean loss, a scalar.
        """
        pieces = batch.split(self.options.accumulate)
        total: Tensor | None = None
        for number, piece in enumerate(pieces, 1):
            with self.precision.autocast():
                mean = (loss or self.task.loss)(self.model(piece.inputs), piece.targets)
            if expected is not None and number == len(pieces):
                self.averager.expect(expected)
            self.precision.backward(mean * piece.share if piece.share != 1 else mean)
            part = mean.detach() * (piece.size / batch.size) if len(pieces) > 1 else mean.detach()
            total = part if total is None else total + part
        if expected is not None:
            self.averager.finish()
        assert total is not None
        return total

    def update(self) -> None:
        """Clip, step the optimizer and the schedule, and take the weights into their moving average."""
        self.precision.optimize(self.optimizer, self.parameters, clip_norm=self.options.clip_norm)
        if self.schedule is not None:
            self.schedule.step()
        if self.ema is not None:
            self.ema.update()

    def active_parameters(self) -> Sequence[int]:
        """Numbers of the parameters that take part in this step, on any worker."""
        return range(len(self.parameters))

    def score_valid(self) -> dict[str, float]:
        """The task's metrics of the model as it is, on the validation data."""
        return score(self.model, self.task, self.task.data("valid"), device=self.world.device, world=self.world)

    @contextmanager
    def weights_to_use(self) -> Iterator[None]:
        """Inside, the model holds what is validated and published: averaged weights, if there are any, and running
        statistics that are the mean over the workers. All workers have to enter. Afterwards all is as it was.
        """
        with self.ema.swapped_in() if self.ema is not None else nullcontext(), averaged_buffers(self.model, self.world):
            yield

    @property
    def steps_done(self) -> int:
        """Over all epochs."""
        return self.epoch * self.batches.steps_per_epoch + self.step

    @property
    def bytes_sent(self) -> int:
        """What this worker has handed to collectives of gradients so far."""
        return self.averager.bytes_sent

    # Checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of training depends on, but for what each worker has of its own."""
        return {
            "kind": self.fingerprint(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule is not None else None,
            "precision": self.precision.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "early_stop": self.early_stop.state_dict(),
            "place": {"epoch": self.epoch, "step": self.step, "stopping": self._stopping},
            "world_size": self.world.size,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint: the same figures as if there had been no stop.

        Raises:
            CheckpointError: it was made with another model, method or options; the message names the difference.
        """
        check_fingerprint(state["kind"], self.fingerprint())
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.precision.load_state_dict(state["precision"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.early_stop.load_state_dict(state["early_stop"])
        place = state["place"]
        self.epoch, self.step, self._stopping = place["epoch"], place["step"], place["stopping"]

    def fingerprint(self) -> dict[str, Any]:
        """What a checkpoint must have in common with the trainer that goes on from it."""
        shapes = {name: [list(tensor.shape), str(tensor.dtype)] for name, tensor in self.model.state_dict().items()}
        options = {name: getattr(self.options, name) for name in ("seed", "precision", "accumulate", "ema", "decay_all")}
        own = {"trainer": type(self).__name__, "batch_size": self.task.batch_size}
        return {**own, "steps_per_epoch": self.batches.steps_per_epoch, **options, "tensors": shapes}

    def worker_state_dict(self) -> dict[str, Any]:
        """What this worker has of its own: running statistics, generators, its place in the data."""
        return {
            "buffers": dict(self.model.named_buffers()),
            "generators": generators_state(self.world.device),
            "batches": self.batches.state_dict(),
        }

    def load_worker_state_dict(self, state: dict[str, Any], *, same_world: bool = True) -> None:
        """Go on with a worker's own part of a checkpoint, after ``load_state_dict``.

        Args:
            state: of the worker of this rank, or of another one where there are more workers now.
            same_world: whether there are as many workers as then; if not, generators begin a stream of their own.
        """
        self.model.load_state_dict(state["buffers"], strict=False)
        self.batches.load_state_dict(state["batches"])
        if same_world:
            restore_generators(state["generators"], self.world.device)
        else:
            seed_worker(self.options.seed + self.steps_done, self.world.rank)

    # What follows a step and an epoch

    def _after_step(self, batch: Batch, loss: Tensor) -> None:
        done, options = self.steps_done, self.options
        self._watch.add(loss, batch.share, self.epoch, self.step, self.describe_step())
        for callback in self.hooks.callbacks:
            callback.on_step_end(self, loss)
        if done % options.log_every == 0 or done == self.num_steps:
            mean = self._watch.look()
            if self.hooks.log is not None and mean is not None:
                rate = self.optimizer.param_groups[0]["lr"]
                self.hooks.log(done, self.num_steps, {"loss": mean, "learning_rate": rate, **self.search_signal()})
        if self.hooks.save is not None and done < self.num_steps and self._clock.is_due(done):
            self.save()
        if options.publish_every is not None and done % options.publish_every == 0 and self.hooks.publish is not None:
            self._watch.look()
            with self.weights_to_use():
                self.hooks.publish(self)

    def save(self) -> None:
        """Take a checkpoint. All workers have to."""
        self._watch.look()  # weights that are no numbers are not kept
        self._clock.restart()
        if self.hooks.save is not None:
            self._watch.checkpoint = place = self.hooks.save(self)
            for callback in self.hooks.callbacks:
                callback.on_checkpoint(self, place)

    def _end_epoch(self) -> None:
        self._watch.look()
        check_agreement(self.world, dict(self.shared_tensors()), {**self.batches.shared_texts(), **self.shared_texts()})
        every = self.options.validate_every
        if every is not None and (self.epoch + 1) % every == 0:
            self.figures = self.validate()
            if self.hooks.log is not None:
                done = (self.epoch + 1) * self.batches.steps_per_epoch
                self.hooks.log(done, self.num_steps, {f"valid_{name}": value for name, value in self.figures.items()})
            if self.early_stop.tell(self.figures[self.task.objective[0]]):
                self.stop()
        self.epoch, self.step = self.epoch + 1, 0
        for callback in self.hooks.callbacks:
            callback.on_epoch_end(self)
        self._stopping = self.world.any(self._stopping)

    def shared_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """What must have the same bits on all workers."""
        return self.model.named_parameters()

    def shared_texts(self) -> dict[str, str]:
        """What must have the same characters on all workers."""
        return {}
