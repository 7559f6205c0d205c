"""``within``: a limit on what an architecture may cost, as a constraint of a search."""

from __future__ import annotations

from raynas.errors import OptionError
from raynas.nn import Profiler
from raynas.oneshot import Task
from raynas.space import Architecture


class Within:
    """Whether an architecture keeps to limits; see ``within``. Architectures are profiled once each."""

    def __init__(self, task: Task, flops: float | None, params: float | None) -> None:
        self.flops, self.params = flops, params
        self.profiler = Profiler(task.model(), task.sample_input())

    def __call__(self, architecture: Architecture) -> bool:
        cost = self.profiler.profile(architecture)
        return (self.flops is None or cost.flops <= self.flops) and (self.params is None or cost.params <= self.params)


def within(task: Task, *, flops: float | None = None, params: float | None = None) -> Within:
    """A constraint: no more than so many FLOPs and parameters.

    Args:
        task: its model, and the shape of one sample of its validation data.
        flops: of one forward pass of one sample, 2 for a multiply-add; ``None``: no limit.
        params: trainable numbers; ``None``: no limit.

    Raises:
        OptionError: no limit was given.

    Example:
        >>> import raynas
        >>> task, _ = raynas.load_task_file("examples/digits.py")
        >>> small_enough = raynas.within(task, flops=350_000)
        >>> small_enough(raynas.generate_search_space(task.model()).unrank(0))
        True
    """
    if flops is None and params is None:
        raise OptionError("within needs a limit: flops=..., params=... or both")
    return Within(task, flops, params)
