"""One evaluation: the ``Trial`` that a user's ``evaluate`` is handed, and how it is called, in every engine alike."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raynas.errors import OptionError, TrialStopped
from raynas.explore.saved_files import SavedFiles
from raynas.space import Architecture
from raynas.storage import Storage


class Trial:
    """What ``evaluate(trial)`` is handed.

    Attributes:
        id: counts from 0.
        architecture: what to evaluate.
        budget: what the searcher asks for, ``None`` if it does not.
        metrics: what was reported last.

    Args:
        checkpoints: where what trials save is kept; ``None``: nothing is.
        on_report: called with all figures after each report; may raise ``TrialStopped``.
    """

    def __init__(
        self,
        id: int,
        architecture: Architecture,
        *,
        budget: float | None = None,
        checkpoints: Storage | None = None,
        on_report: Callable[[dict[str, float]], None] | None = None,
    ) -> None:
        self.id, self.architecture, self.budget = id, architecture, budget
        self.metrics: dict[str, float] = {}
        self._saved = SavedFiles(checkpoints, id) if checkpoints is not None else None  # a path would be slow to make
        self._on_report = on_report

    @property
    def keeps_files(self) -> bool:
        """Whether ``save`` has somewhere to keep files: whether the search has a run folder."""
        return self._saved is not None

    def report(self, **metrics: float) -> None:
        """Report figures, by name. What is reported later replaces what was reported before.

        A trial that trains reports once an epoch, so that a scheduler can stop it: then this waits for its answer.

        Raises:
            OptionError: a figure is not a number.
            TrialStopped: a scheduler has stopped this trial.
        """
        for name, value in metrics.items():
            try:
                self.metrics[name] = float(value)
            except (TypeError, ValueError, OverflowError):
                raise OptionError(f"metric {name!r} is {value!r}; report numbers, {name}=0.93 for example") from None
        if self._on_report is not None:
            self._on_report(dict(self.metrics))

    def save(self, path: str | Path) -> None:
        """Keep a file or folder for ``load`` and for the run folder; an earlier one of this trial is replaced.

        Raises:
            OptionError: the search has no run folder (``storage_path``).
        """
        if self._saved is None:
            raise OptionError("trial.save needs a run folder; give raynas.search a storage_path")
        self._saved.save(Path(path))

    def load(self) -> Path | None:
        """The folder with what this trial saved last, a copy that goes with the trial perhaps; ``None`` if there is none."""
        return self._saved.load() if self._saved is not None else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an evaluation ended: with metrics, with an error whose first line is its cause, or stopped on the way."""

    metrics: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    stopped: bool = False


Evaluate = Callable[[Trial], object]
BY_VALUE = "__raynas_by_value__"  # set on a user's module that no worker could import, so it goes there by value


def prepare_evaluate(evaluate: Any) -> Evaluate:
    """Make the function that is called for each trial.

    Args:
        evaluate: a function of a trial; or a class or an object with ``evaluate(trial)`` and perhaps ``setup()``, which
            is called once here, where the trials run.

    Raises:
        OptionError: it is neither.
    """
    if isinstance(evaluate, type):
        evaluate = evaluate()
    if hasattr(evaluate, "evaluate"):
        if hasattr(evaluate, "setup"):
            evaluate.setup()
        method: Evaluate = evaluate.evaluate
        return method
    if not callable(evaluate):
        raise OptionError(f"evaluate is {evaluate!r}; expected a function of a trial, or a class with evaluate(trial)")
    function: Evaluate = evaluate
    return function


def run_trial(evaluate: Evaluate, trial: Trial, metrics: tuple[str, ...]) -> Outcome:
    """Evaluate one trial; whatever it raises, and a metric that is missing or not finite, is an outcome with a cause."""
    try:
        returned = evaluate(trial)
    except TrialStopped:
        return Outcome(trial.metrics, stopped=True)
    except Exception as error:
        return Outcome(trial.metrics, cause_of(error))
    for name in metrics:
        if name not in trial.metrics:
            reported = ", ".join(trial.metrics) or "nothing"
            hint = f"; evaluate returned {returned!r}, call trial.report({name}=...)" if returned is not None else ""
            return Outcome(trial.metrics, f"metric {name!r} was not reported; reported: {reported}{hint}")
        if not math.isfinite(trial.metrics[name]):
            return Outcome(trial.metrics, f"metric {name!r} is {trial.metrics[name]}, which is no result")
    return Outcome(trial.metrics)


def cause_of(error: BaseException) -> str:
    """The error of a trial as it is kept: its cause on the first line, then the stack trace."""
    cause = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"{cause}\n{''.join(traceback.format_exception(error))}"
