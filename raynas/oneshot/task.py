"""``Task``: a model with its data, loss, metrics and optimizer. What a user's file defines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import default_collate

from raynas.errors import TaskError
from raynas.oneshot.row_data import RowData, is_row_data


class MapDataset(Protocol):
    """Data by index: ``len(data)`` and ``data[i]`` giving ``(input, target)``; any map-style torch ``Dataset``."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


Data = MapDataset | Callable[[], MapDataset]
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Task:
    """What is to be learnt, and from what.

    Attributes:
        model: makes the model, mutables included; usually its class.
        loss: ``loss(output, target)`` gives the mean loss of a batch, a scalar.
        optimizer: ``optimizer(parameters)`` makes the optimizer.
        train_data: map-style data of ``(input, target)`` pairs, or a function that loads it; or data that can only be iterated,
            anew each time, whose ``steps_per_epoch`` has to be told in ``TrainOptions``; or a ``ray.data.Dataset`` whose rows
            have the columns ``input`` and ``target``, or one column ``item`` with pairs.
        valid_data: map-style, for choosing between architectures.
        test_data: the same, looked at once, at the end; may be left out.
        metrics: name to ``metric(output, target)``, which gives the mean over a batch; ``"loss"`` is always there.
        batch_size: samples of one training step, of all workers together.
        schedule: ``schedule(optimizer, num_steps)`` makes a learning-rate schedule that is stepped after each step.

    Raises:
        TaskError: a field is of the wrong kind.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from raynas.nn import LayerChoice
        >>> data = torch.utils.data.TensorDataset(torch.randn(8, 4), torch.zeros(8, dtype=torch.long))
        >>> task = Task(
        ...     model=lambda: nn.Sequential(LayerChoice([nn.Linear(4, 2), nn.Linear(4, 2, bias=False)])),
        ...     loss=nn.functional.cross_entropy,
        ...     optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        ...     train_data=data,
        ...     valid_data=data,
        ... )
        >>> task.sample_input().shape
        torch.Size([1, 4])
    """

    model: Callable[[], nn.Module]
    loss: Callable[[Any, Any], Tensor]
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer]
    train_data: Data | Iterable[Any]
    valid_data: Data
    test_data: Data | None = None
    metrics: Mapping[str, Callable[[Any, Any], Any]] = field(default_factory=dict)
    batch_size: int = 64
    schedule: Callable[[Optimizer, int], LRScheduler] | None = None

    def __post_init__(self) -> None:
        for name in ("model", "loss", "optimizer"):
            if not callable(getattr(self, name)):
                raise TaskError(f"Task {name} is {getattr(self, name)!r}; expected a function or a class")
        for split in SPLITS:
            found = getattr(self, f"{split}_data")
            streams = split == "train" and isinstance(found, Iterable)
            if not (callable(found) or isinstance(found, Sized) or streams or (found is None and split == "test")):
                raise TaskError(f"Task {split}_data is {found!r}; expected data with a length, or a function that loads it")
        if type(self.batch_size) is not int or self.batch_size < 1:
            raise TaskError(f"Task batch_size is {self.batch_size!r}; expected an integer of at least 1")
        if "loss" in self.metrics:
            raise TaskError('Task metrics has a "loss"; that name is the loss itself, which is always reported')

    def data(self, split: str) -> MapDataset:
        """The data of ``"train"``, ``"valid"`` or ``"test"``, loaded if need be.

        Raises:
            TaskError: there is none, or it is empty, or it is a ``ray.data.Dataset`` but not for training.
        """
        found = getattr(self, f"{split}_data")
        loads = callable(found) and (isinstance(found, type) or not hasattr(found, "__getitem__"))
        loaded: Any = found() if loads else found
        if is_row_data(loaded):
            if split != "train":
                raise TaskError(
                    f"Task {split}_data is a {type(loaded).__name__} of Ray, which only train_data may be; give a list of "
                    'pairs, [(row["input"], row["target"]) for row in dataset.take_all()] for example'
                )
            return RowData(loaded)  # type: ignore[return-value]
        if loaded is None or (hasattr(loaded, "__len__") and not len(loaded)):
            raise TaskError(f"Task {split}_data is {'missing' if loaded is None else 'empty'}; give it some samples")
        return loaded  # type: ignore[no-any-return]

    def sample_input(self) -> Any:
        """The input of one sample, with a batch dimension of 1."""
        return default_collate([self.data("valid")[0]])[0]

    @property
    def objective(self) -> tuple[str, str]:
        """What a search looks at by default: the first metric, to be large; without metrics the loss, to be small."""
        return (next(iter(self.metrics)), "max") if self.metrics else ("loss", "min")
