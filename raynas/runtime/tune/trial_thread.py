"""``TrialThread``: one trial in a thread of its own, so that it can be held at each report while Tune decides."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from raynas.errors import TrialStopped
from raynas.explore import Evaluate, Outcome, Trial, cause_of, run_trial

REPORT_EVERY = 1.0  # seconds; how often figures of a trial that is not held are passed on

Report = dict[str, float]


class TrialThread:
    """Runs ``evaluate`` for one trial.

    Args:
        call: the prepared ``evaluate``.
        make_trial: makes the trial from what is to be called at each report.
        metrics: which must have been reported in the end.
        held: whether each report waits until ``advance`` is called again. Else the trial runs on, and figures are passed on
            every ``REPORT_EVERY`` seconds.
    """

    def __init__(
        self,
        call: Evaluate,
        make_trial: Callable[[Callable[[Report], None]], Trial],
        metrics: tuple[str, ...],
        *,
        held: bool,
    ) -> None:
        self._held, self._waits, self._stopped = held, False, False
        self._from_trial: SimpleQueue[Report | Outcome] = SimpleQueue()
        self._go_on: SimpleQueue[None] = SimpleQueue()
        trial = make_trial(self._on_report)
        self._thread = threading.Thread(target=self._run, args=(call, trial, metrics), name=f"raynas-trial-{trial.id}")
        self._thread.daemon = True  # a process that is told to end does not wait for it
        self._thread.start()

    def advance(self) -> Report | Outcome:
        """Let the trial go on to its next report or its end, and give what it reported or how it ended."""
        if self._waits:
            self._waits = False
            self._go_on.put(None)
        since = time.monotonic()
        latest: Report | Outcome | None = None
        while True:
            with suppress(Empty):
                latest = self._from_trial.get(timeout=None if latest is None else REPORT_EVERY)
            assert latest is not None
            if isinstance(latest, Outcome):
                self._thread.join()
                return latest
            if self._held:
                self._waits = True
                return latest
            if time.monotonic() - since >= REPORT_EVERY:
                return latest

    def stop(self, seconds: float) -> bool:
        """End the trial at its report: ``TrialStopped`` is raised there. Whether it ended within so many seconds."""
        self._stopped = True
        self._go_on.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _on_report(self, metrics: Report) -> None:
        if not self._stopped:
            self._from_trial.put(metrics)
            if self._held:
                self._go_on.get()
        if self._stopped:
            raise TrialStopped

    def _run(self, call: Evaluate, trial: Trial, metrics: tuple[str, ...]) -> None:
        try:
            outcome = run_trial(call, trial, metrics)
        except BaseException as error:  # SystemExit, for example: it would end this thread without a word
            outcome = Outcome(trial.metrics, cause_of(error))
        self._from_trial.put(outcome)
