"""``Evaluator``: a long-lived actor that evaluates one architecture after the other. What gives it work is ``pool_engine``."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import ray

from raynas.explore import Evaluate, Outcome, Trial, cause_of, prepare_evaluate, run_trial
from raynas.runtime.cluster.heap import keep_freed_memory
from raynas.runtime.cluster.nodes import session_folder
from raynas.runtime.pool.trial_log import Ended, TrialLog
from raynas.space import Architecture, SearchSpace
from raynas.storage import Storage

RESULTS_AFTER = 0.05  # seconds after which results are handed over, however few
ANSWER_WITH_WAITING = 0.1  # seconds after which a call returns while others might take what waits here
ANSWER_AFTER = 1.0  # seconds after which a call returns in any case; how often figures of a trial that goes on are passed on


@dataclass(frozen=True)
class Work:
    """What every evaluator is given once.

    Attributes:
        evaluate: as the user gave it.
        space: that architectures are of.
        metrics: which must have been reported in the end.
        checkpoints: where trials keep what they save.
        trial_timeout: seconds that a trial may take; ``None``: any time.
    """

    evaluate: Any
    space: SearchSpace
    metrics: tuple[str, ...]
    checkpoints: Storage | None
    trial_timeout: float | None


class Asked(NamedTuple):
    """A trial as it goes to an evaluator; ``choices`` is the architecture's row."""

    trial_id: int
    attempt: int
    choices: list[Any]
    budget: float | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an evaluator is: the node, its name, the process and its log."""

    node_id: str
    host: str
    pid: int
    log: Path


@dataclass(frozen=True, slots=True)
class Answer:
    """What an evaluator says.

    Attributes:
        ended: trials that have ended since the last answer.
        given_back: ids of trials that were not begun and are not here any more.
        running: the trial that goes on, ``None`` if none does.
        running_for: its seconds until now.
        reported: its figures, ``None`` if there are no new ones.
        num_waiting: trials that are here and not begun.
        seconds: how long the call took here.
    """

    ended: list[Ended]
    given_back: list[int]
    running: int | None
    running_for: float
    reported: dict[str, float] | None
    num_waiting: int
    seconds: float


class Evaluator:
    """Evaluates in a thread of its own, while the actor's thread takes calls.

    ``prepare`` comes first and once. Between two calls of ``exchange`` evaluation goes on.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Asked] = deque()
        self._closed = False
        self._ended: list[Ended] = []
        self._wanted = 1  # results that are worth an answer
        self._running: int | None = None
        self._since = 0.0
        self._reported: dict[str, float] | None = None
        self._work: Work
        self._call: Evaluate
        self._log: TrialLog

    def prepare(self, work: Work) -> Place:
        """Set up ``evaluate``; what that raises is raised here."""
        keep_freed_memory()
        self._work, self._call = work, prepare_evaluate(work.evaluate)
        context = ray.get_runtime_context()
        node_id = context.get_node_id()
        path = session_folder(node_id) / f"raynas-trials-{context.get_actor_id()}"
        self._log = TrialLog(path)
        self._thread = threading.Thread(target=self._evaluate_all, name="raynas-evaluate", daemon=True)
        self._thread.start()
        return Place(node_id, socket.gethostname(), os.getpid(), path)

    def exchange(self, asked: list[Asked], give_back: bool) -> Answer:
        """Take more trials, and answer when there is something to say.

        That is when half of the trials here have ended, or none is left; when the running one exceeds its time; and after
        so long that someone may want to know.

        Args:
            asked: evaluated after those that are here.
            give_back: answer at once, and give back what was not begun.
        """
        start = time.monotonic()
        with self._changed:
            self._waiting.extend(asked)
            self._wanted = max(1, (len(self._waiting) + len(self._ended) + (self._running is not None)) // 2)
            self._changed.notify_all()
            given_back = []
            if give_back:
                given_back = [each.trial_id for each in self._waiting]
                self._waiting.clear()
            else:
                self._wait_for_news(start)
            return self._answer(given_back, start)

    def close(self) -> None:
        """Evaluate no more, and leave nothing behind; the process is ended by whoever called."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=1)
        self._log.close()

    def _wait_for_news(self, start: float) -> None:
        while True:
            now = time.monotonic()
            if now >= start + RESULTS_AFTER:
                self._wanted = 1
            is_idle = self._running is None and not self._waiting
            end = start + (ANSWER_WITH_WAITING if self._waiting else ANSWER_AFTER)
            if self._running is not None and self._work.trial_timeout is not None:
                end = min(end, self._since + self._work.trial_timeout)
            if is_idle or len(self._ended) >= self._wanted or now >= end:
                return
            self._changed.wait((end if self._wanted == 1 else min(end, start + RESULTS_AFTER)) - now)

    def _answer(self, given_back: list[int], start: float) -> Answer:
        ended, self._ended = self._ended, []
        reported, self._reported = self._reported, None
        now = time.monotonic()
        running_for = now - self._since if self._running is not None else 0.0
        return Answer(ended, given_back, self._running, running_for, reported, len(self._waiting), now - start)

    def _evaluate_all(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                asked = self._waiting.popleft()
                self._running, self._since, self._reported = asked.trial_id, time.monotonic(), None
            ended = self._evaluate(asked)
            with self._changed:
                self._ended.append(ended)
                self._running = self._reported = None
                if len(self._ended) >= self._wanted or not self._waiting:
                    self._changed.notify_all()

    def _evaluate(self, asked: Asked) -> Ended:
        self._log.begin(asked.trial_id)
        start, since = time.time(), time.perf_counter()
        try:
            work, architecture = self._work, Architecture.from_row(self._work.space, asked.choices)
            trial = Trial(
                asked.trial_id, architecture, budget=asked.budget, checkpoints=work.checkpoints, on_report=self._on_report
            )
            outcome = run_trial(self._call, trial, work.metrics)
        except BaseException as error:  # SystemExit, for example: it would end this thread without a word
            outcome = Outcome(error=cause_of(error))
        ended = Ended(asked.trial_id, asked.attempt, outcome, start, time.perf_counter() - since)
        self._log.end(ended)
        return ended

    def _on_report(self, metrics: dict[str, float]) -> None:
        self._reported = metrics
