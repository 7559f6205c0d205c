"""Which metrics count, and in which direction. Larger is better for searchers; people see their own sign."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from raynas.errors import OptionError
from raynas.explore.searcher import Value


class Objective:
    """One metric or several, each to be made as large (``"max"``) or as small (``"min"``) as can be.

    Args:
        metric: a name, or names.
        mode: ``"max"`` or ``"min"``, one for each metric.

    Raises:
        OptionError: no metric, another mode, or not as many modes as metrics.
    """

    def __init__(self, metric: str | Sequence[str], mode: str | Sequence[str]) -> None:
        self.metrics, self.modes = _names(metric), _names(mode)
        if not self.metrics or len(set(self.metrics)) != len(self.metrics):
            raise OptionError(f"metric is {metric!r}; expected a name, or several different ones")
        if len(self.modes) != len(self.metrics) or any(each not in ("min", "max") for each in self.modes):
            raise OptionError(f'mode is {mode!r}; expected "max" or "min", one for each of {list(self.metrics)}')
        self._signs = tuple(1.0 if each == "max" else -1.0 for each in self.modes)

    def problem(self, metrics: Mapping[str, float]) -> str | None:
        """What makes ``metrics`` no result, ``None`` if they are one."""
        for name in self.metrics:
            if name not in metrics:
                return f"metric {name!r} was not reported; reported: {', '.join(metrics) or 'nothing'}"
            if not math.isfinite(metrics[name]):
                return f"metric {name!r} is {metrics[name]}, which is no result"
        return None

    def value(self, metrics: Mapping[str, float]) -> Value:
        """What a searcher is told: larger is better; a mapping where there are several objectives."""
        if len(self.metrics) == 1:
            return self.scalar(metrics)
        return dict(zip(self.metrics, self.point(metrics), strict=True))

    def point(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """The objectives in their order, larger is better in each."""
        return tuple(sign * metrics[name] for name, sign in zip(self.metrics, self._signs, strict=True))

    def scalar(self, metrics: Mapping[str, float]) -> float:
        """The value of a single objective. Raises ``OptionError`` where there are several: none is the best."""
        if len(self.metrics) > 1:
            raise OptionError(f"with the objectives {', '.join(self.metrics)} no single trial is the best")
        return self._signs[0] * metrics[self.metrics[0]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"metric": list(self.metrics), "mode": list(self.modes)}


def _names(given: Any) -> tuple[str, ...]:
    """One name or several; nothing where it is neither."""
    if isinstance(given, str):
        return (given,)
    names = tuple(given) if isinstance(given, Sequence) else ()
    return names if all(isinstance(name, str) for name in names) else ()
