"""``within``: a limit on what an architecture may cost, as a constraint of a search."""

from __future__ import annotations

from raynas.errors import OptionError
from raynas.nn import Profiler, measure_latency
from raynas.oneshot import Task
from raynas.space import Architecture


class Within:
    """Whether an architecture keeps to limits; see ``within``. Architectures are profiled and timed once each."""

    def __init__(self, task: Task, flops: float | None, params: float | None, latency: float | None, device: str) -> None:
        self.flops, self.params, self.latency, self.device = flops, params, latency, device
        self.model, self.sample = task.model(), task.sample_input()
        self.profiler = Profiler(self.model, self.sample)
        self._seconds: dict[str, float] = {}

    def __call__(self, architecture: Architecture) -> bool:
        cost = self.profiler.profile(architecture)
        if (self.flops is not None and cost.flops > self.flops) or (self.params is not None and cost.params > self.params):
            return False
        return self.latency is None or self._time(architecture) <= self.latency

    def _time(self, architecture: Architecture) -> float:
        seconds = self._seconds.get(architecture.digest)
        if seconds is None:
            seconds = measure_latency(self.model, architecture, self.sample, self.device).median
            self._seconds[architecture.digest] = seconds
        return seconds


def within(
    task: Task, *, flops: float | None = None, params: float | None = None, latency: float | None = None, device: str = "cpu"
) -> Within:
    """A constraint: no more than so many FLOPs and parameters, and no longer than so many seconds.

    Args:
        task: its model, and the shape of one sample of its validation data.
        flops: of one forward pass of one sample, 2 for a multiply-add; ``None``: no limit.
        params: trainable numbers; ``None``: no limit.
        latency: seconds for one forward pass of one sample, the median of 50, measured here before a trial is spent; ``None``:
            no limit. A measurement: near the limit another run, or a resumed one, may decide otherwise.
        device: where latency is measured.

    Raises:
        OptionError: no limit was given.

    Example:
        >>> import raynas
        >>> task, _ = raynas.load_task_file("examples/digits.py")
        >>> small_enough = raynas.within(task, flops=350_000)
        >>> small_enough(raynas.generate_search_space(task.model()).unrank(0))
        True
    """
    if flops is None and params is None and latency is None:
        raise OptionError("within needs a limit: flops=..., params=..., latency=... or several of them")
    return Within(task, flops, params, latency, device)
