"""``SearchLimits``: when a search is over, and what it may not run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from raynas.errors import ConstraintError, OptionError
from raynas.explore.searcher import Constraint
from raynas.space import Architecture


@dataclass(frozen=True)
class SearchLimits:
    """When a search is over, and what it may not run.

    Attributes:
        num_trials: how many trials are spent; reused, forbidden and invalid proposals spend none.
        constraint: which architectures may be evaluated; ``None`` allows all.
        repeat: whether a pair of architecture and budget may run twice.
        max_failures_per_trial: how often a trial that failed is run again, under its own id. ``None``: once if its worker
            died, never if ``evaluate`` raised an error.
        max_seconds: after how many seconds no trial is started any more; those that run are waited for. ``None``: no limit.
        patience: how many trials in a row may end without a better one. ``None``: any number.
        max_same_failures: how many failures with one cause in a row end the search.

    Raises:
        OptionError: a number is out of its range.
    """

    num_trials: int
    constraint: Constraint | None = None
    repeat: bool = False
    max_failures_per_trial: int | None = None
    max_seconds: float | None = None
    patience: int | None = None
    max_same_failures: int = 5

    def __post_init__(self) -> None:
        _check_count("num_trials", self.num_trials, 1)
        if self.max_failures_per_trial is not None:
            _check_count("max_failures_per_trial", self.max_failures_per_trial, 0)
        if self.patience is not None:
            _check_count("patience", self.patience, 1)
        seconds = self.max_seconds
        if seconds is not None and (not isinstance(seconds, int | float) or not 0 < seconds < math.inf):
            raise OptionError(f"max_seconds is {seconds!r}; expected a positive number of seconds")

    def allows(self, architecture: Architecture) -> bool:
        """Whether the constraint, if there is one, allows it. Raises ``ConstraintError`` if the constraint raises."""
        if self.constraint is None:
            return True
        try:
            return bool(self.constraint(architecture))
        except Exception as error:
            raise ConstraintError(f"the constraint raised {type(error).__name__} for {architecture}: {error}") from error

    def may_retry(self, num_failures: int, *, died: bool) -> bool:
        """Whether a trial that has failed so many times, this one included, is run again."""
        allowed = int(died) if self.max_failures_per_trial is None else self.max_failures_per_trial
        return num_failures <= allowed


def _check_count(name: str, value: Any, least: int) -> None:
    if type(value) is not int or value < least:
        raise OptionError(f"{name} is {value!r}; expected an integer of at least {least}")
