"""``TrainOptions``: how long, how exactly and how often. ``Callback``: what others may do while training goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from torch import Tensor

from raynas.errors import OptionError

if TYPE_CHECKING:
    from raynas.oneshot.trainer import Trainer

Log = Callable[[int, int, dict[str, float]], None]  # steps done, steps in all, figures
Precision = Literal["float32", "bf16", "fp16"]


@dataclass(frozen=True)
class TrainOptions:
    """How a model is trained.

    Attributes:
        epochs: passes over the training data.
        seed: of the weights, the order of the data, the architectures and dropout.
        steps_per_epoch: for data without a length, which has to be told, and of a ``ray.data.Dataset`` if not all of it is to
            be read; ``None``: as the data says.
        precision: ``"float32"`` as the model is; ``"bf16"`` or ``"fp16"``: forward under autocast, ``fp16`` with scaling of
            the loss. Weights and optimizer stay as they are.
        accumulate: pieces that a worker's share of a batch is computed in, one after the other, to save memory. The step stays
            the same: the gradient of the mean loss over ``Task.batch_size`` samples, and one path for all pieces.
        clip_norm: the largest norm of all gradients together; ``None``: no limit.
        decay_all: whether weight decay reaches norms, biases and other parameters of one dimension too.
        ema: decay of the moving average of the weights by step, 0.999 for example, which is validated and published instead of
            the weights; ``None``: none.
        channels_last: memory format of convolutions; faster on GPUs with ``precision``.
        compile: backend of ``torch.compile``, ``"inductor"`` for example: each candidate is compiled by itself, so that a new
            path compiles nothing new; ``None``: nothing is.
        log_every: steps between two calls of ``log``.
        checkpoint_every: steps between two checkpoints; ``None``: only by time.
        checkpoint_minutes: minutes between two checkpoints, by rank 0's clock, looked at every ``log_every`` steps;
            ``None``: only by steps.
        publish_every: steps between two versions in the weight registry; ``None``: one, at the end.
        validate_every: epochs between two validations; ``None``: none.
        patience: validations without a better figure after which training stops; ``None``: never.
        hang_timeout: seconds that workers under Ray wait for one that does not come to exchange gradients or whatever all have
            to know; then all of them are ended, and start again from the last checkpoint. It has to be longer than anything
            that one worker does while others wait: loading data, publishing, measuring latency, writing a checkpoint.

    Raises:
        OptionError: a number is out of its range; the message names it.
    """

    epochs: int = 50
    seed: int = 0
    steps_per_epoch: int | None = None
    precision: Precision = "float32"
    accumulate: int = 1
    clip_norm: float | None = None
    decay_all: bool = False
    ema: float | None = None
    channels_last: bool = False
    compile: str | None = None
    log_every: int = 20
    checkpoint_every: int | None = None
    checkpoint_minutes: float | None = 5.0
    publish_every: int | None = None
    validate_every: int | None = None
    patience: int | None = None
    hang_timeout: float = 300.0

    def __post_init__(self) -> None:
        for name in ("epochs", "accumulate", "log_every"):
            _check_count(name, getattr(self, name))
        for name in ("steps_per_epoch", "checkpoint_every", "publish_every", "validate_every", "patience"):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name))
        for name in ("clip_norm", "checkpoint_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise OptionError(f"{name} is {value!r}; expected a number above 0, or None")
        if not self.hang_timeout > 0:
            raise OptionError(f"hang_timeout is {self.hang_timeout!r}; expected seconds above 0")
        if self.precision not in get_args(Precision):
            raise OptionError(f"precision {self.precision!r} does not exist; expected one of {', '.join(get_args(Precision))}")
        if self.ema is not None and not 0 < self.ema < 1:
            raise OptionError(f"ema is {self.ema!r}; expected a number between 0 and 1, or None")
        if self.patience is not None and self.validate_every is None:
            raise OptionError("patience counts validations; give validate_every too")


class Callback:
    """What is called while training goes on, on every worker. Inherit and define what is wanted.

    Collectives may be called here, if every worker calls them. What a callback changes in the trainer must be the same on all
    workers; ``trainer.stop()`` is agreed on at the end of the epoch. A callback is not part of a checkpoint.
    """

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Before the first step of an epoch, or before the first one after a new start."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """After an epoch and its validation, whose figures are in ``trainer.figures``; ``trainer.epoch`` epochs are done."""

    def on_step_end(self, trainer: Trainer, loss: Tensor) -> None:
        """After each step, with this worker's mean loss, a scalar."""

    def on_checkpoint(self, trainer: Trainer, place: str) -> None:
        """After a checkpoint was taken; it may still be on its way to ``place``, a folder or the URI of one."""


@dataclass(frozen=True)
class TrainHooks:
    """What is called while training goes on, beside the callbacks of the user.

    Attributes:
        log: called on rank 0 every ``log_every`` steps with the steps done, the steps in all, and figures.
        save: called on every worker where a checkpoint is due; gives the place of its folder.
        publish: called on every worker where a version is due, with the weights to be published in the model.
        callbacks: the user's.
    """

    log: Log | None = None
    save: Callable[[Trainer], str] | None = None
    publish: Callable[[Trainer], Any] | None = None
    callbacks: tuple[Callback, ...] = field(default=())


def _check_count(name: str, value: Any) -> None:
    if type(value) is not int or value < 1:
        raise OptionError(f"{name} is {value!r}; expected an integer of at least 1")
