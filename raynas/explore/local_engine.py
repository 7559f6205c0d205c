"""The in-process engine: one trial after the other, in this process, without Ray. For tables, tests and a debugger."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from raynas.errors import OptionError
from raynas.explore.evaluation import Outcome, Trial, prepare_evaluate, run_trial
from raynas.explore.history import TrialRecord
from raynas.explore.session import SearchSession
from raynas.storage import Storage


@dataclass(frozen=True)
class EngineOptions:
    """What every engine is told.

    Attributes:
        max_concurrent: how many trials may run at once; ``None``: as many as the resources hold.
        resources_per_trial: ``{"cpu": 1}``, fractions allowed.
        storage: where the run is kept; ``None`` keeps nothing.
        scheduler: of Ray Tune, which stops trials; ``None``: each runs to its end.
        callbacks: of Ray Tune, such as its TensorBoard logger.
        trial_timeout: seconds that one trial may take; one that takes longer is ended, with its process, and has failed.
            ``None``: any time.

    Raises:
        OptionError: a number is out of its range.
    """

    max_concurrent: int | None = None
    resources_per_trial: dict[str, float] = field(default_factory=lambda: {"cpu": 1.0})
    storage: Storage | None = None
    scheduler: Any = None
    callbacks: Sequence[Any] = ()
    trial_timeout: float | None = None

    def __post_init__(self) -> None:
        most = self.max_concurrent
        if most is not None and (type(most) is not int or most < 1):
            raise OptionError(f"max_concurrent is {most!r}; expected an integer of at least 1")
        for name, amount in self.resources_per_trial.items():
            if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < math.inf:
                raise OptionError(f"resources_per_trial has {name}={amount!r}; expected a number of at least 0")
        limit = self.trial_timeout
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < math.inf):
            raise OptionError(f"trial_timeout is {limit!r}; expected a positive number of seconds")

    @property
    def checkpoints(self) -> Storage | None:
        """Where trials keep what they save."""
        return self.storage.folder("checkpoints") if self.storage is not None else None


def refuse_tunes_own(options: EngineOptions) -> None:
    """For engines without Ray Tune. Raises ``OptionError`` where a scheduler or a callback is given."""
    if options.scheduler is not None or options.callbacks:
        raise OptionError('schedulers and callbacks are those of Ray Tune; take engine="tune"')


def run_local(session: SearchSession, evaluate: Any, options: EngineOptions) -> None:
    """Run a session to its end.

    With ``max_concurrent`` above 1 that many proposals are asked for ahead and evaluated in their order: what a searcher
    sees when as many trials of equal length run at once, without the machines.

    Raises:
        OptionError: there is a scheduler or a callback, which are Ray Tune's, or a time limit, which needs another process.
    """
    refuse_tunes_own(options)
    if options.trial_timeout is not None:
        raise OptionError('a trial that hangs here cannot be ended: trial_timeout needs engine="pool"')
    call = prepare_evaluate(evaluate)
    metrics, checkpoints = session.objective.metrics, options.checkpoints
    running: deque[TrialRecord] = deque()
    while True:
        while len(running) < (options.max_concurrent or 1) and (record := session.ask()) is not None:
            running.append(record)
        if not running:
            return
        record, start = running.popleft(), time.time()
        trial = Trial(record.id, record.architecture, budget=record.budget, checkpoints=checkpoints)
        outcome = run_trial(call, trial, metrics)
        pass_on(session, record.id, outcome, start=start)


def pass_on(session: SearchSession, trial_id: int, outcome: Outcome, *, start: float, node: str | None = None) -> None:
    """Tell the session how a trial has ended."""
    if outcome.stopped:
        session.stop(trial_id, outcome.metrics, start=start, node=node)
    elif outcome.error is None:
        session.tell(trial_id, outcome.metrics, start=start, node=node)
    else:
        session.fail(trial_id, outcome.error, start=start, node=node)
