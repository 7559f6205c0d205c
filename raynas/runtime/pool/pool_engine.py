"""The pool engine: long-lived evaluators, one for each slot, take architectures in small batches. No Ray Tune.

What runs in the actors is in ``evaluator``, how many there are is in ``evaluator_group``, how many architectures each is given
at once in ``batch_size``.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any

import ray

from raynas.explore import EngineOptions, SearchSession, TrialRecord, pass_on, refuse_tunes_own
from raynas.runtime.cluster.connection import broadcast, connect, for_workers, num_slots
from raynas.runtime.cluster.interrupts import Interrupts
from raynas.runtime.pool.batch_size import BatchSize, deal
from raynas.runtime.pool.evaluator import ANSWER_AFTER, Answer, Work
from raynas.runtime.pool.evaluator_group import EvaluatorGroup, at_most
from raynas.runtime.pool.evaluator_handle import EvaluatorHandle
from raynas.runtime.pool.trial_log import Ended, Left

DIED = "the worker of this trial died"
MOST_MOVES = 3  # machines that may go while they are at one trial; then it is taken for the reason
GRACE = 5.0  # seconds, beyond the time of a trial, that an evaluator may be silent


def run_pool(session: SearchSession, evaluate: Any, options: EngineOptions) -> None:
    """Run a session to its end on warm evaluators.

    Raises:
        TaskError: ``evaluate`` cannot be pickled.
        OptionError: there is a scheduler or a callback, which are Ray Tune's; or no node has the resources of a trial.
        SearchStoppedError: ``evaluate`` cannot be set up.
    """
    refuse_tunes_own(options)
    if _num_left(session) == 0:
        session.ask()  # a search that was at its end already; evaluators would start for nothing
        return
    connect()
    num_slots(options.resources_per_trial)
    work = Work(for_workers(evaluate), session.space, session.objective.metrics, options.checkpoints, options.trial_timeout)
    home = evaluate.home() if hasattr(evaluate, "home") and not isinstance(evaluate, type) else None
    group = EvaluatorGroup(options.resources_per_trial, broadcast(work, ""), options.max_concurrent, home=home)
    try:
        with Interrupts() as interrupts:
            Pool(session, group, options, interrupts).run()
        group.leave_nothing()
    finally:
        group.end()


class Pool:
    """The driver's loop: ask the session, deal to evaluators, tell results as they come.

    Args:
        session: what to run; used from this thread only.
        group: of the evaluators.
        options: see ``EngineOptions``.
        interrupts: looked at in every turn.
    """

    def __init__(self, session: SearchSession, group: EvaluatorGroup, options: EngineOptions, interrupts: Interrupts) -> None:
        self._session, self._group, self._interrupts = session, group, interrupts
        self._max_concurrent, self._timeout = options.max_concurrent, options.trial_timeout
        self._batch_size = BatchSize()
        self._backlog: deque[TrialRecord] = deque()  # trials that an evaluator had and did not begin
        self._num_moves: Counter[int] = Counter()  # machines that went while they were at a trial
        self._waits = False  # whether the session was asked just now, and had no trial

    def run(self) -> None:
        """Until the session is over."""
        while True:
            self._interrupts.check()
            self._group.fit(_num_left(self._session))
            self._hand_out()
            if self._waits and not self._backlog and not any(each.trials for each in self._group.members):
                return
            self._listen()

    def _hand_out(self) -> None:
        """Give every evaluator that listens what it lacks, and ask it for results."""
        ready = self._group.ready()
        free = [each for each in ready if each.call is None]
        most = at_most(self._batch_size.size(), len(ready), self._max_concurrent)
        records = self._next_records(sum(max(0, most - len(each.trials)) for each in free))
        has_idle = self._waits and any(not each.trials for each in ready)
        for each, number in zip(free, deal([len(each.trials) for each in free], len(records), most), strict=True):
            given = [records.popleft() for _ in range(number)]
            if not given and not each.trials:
                continue
            give_back = has_idle and each.answer is not None and self._should_share(each.answer)
            seconds = each.exchange(given, give_back=give_back)
            if seconds is not None:
                self._batch_size.add_exchange(seconds)

    def _next_records(self, number: int) -> deque[TrialRecord]:
        """So many trials to hand out, or as many as there are."""
        if self._max_concurrent is not None:
            number = min(number, self._max_concurrent - sum(len(each.trials) for each in self._group.members))
        records: deque[TrialRecord] = deque()
        self._waits = False
        while len(records) < number and not self._waits:
            record = self._backlog.popleft() if self._backlog else self._session.ask()
            if record is not None:
                records.append(record)
            self._waits = record is None
        return records

    def _should_share(self, answer: Answer) -> bool:
        return self._batch_size.is_worth_sharing(answer.num_waiting, answer.running_for)

    def _listen(self) -> None:
        """Wait until an evaluator says something, or for a second; then take all that there is."""
        calls = {each.call: each for each in self._group.members if each.call is not None}
        if not calls:
            time.sleep(0.05)
            return
        ready, _ = ray.wait(list(calls), num_returns=1, timeout=ANSWER_AFTER)
        if ready and len(calls) > 1:
            ready, _ = ray.wait(list(calls), num_returns=len(calls), timeout=0)
        for call in ready:
            self._hear(calls[call])
        for each in self._group.ready():
            if self._timeout is not None and each.silent_for > self._timeout + ANSWER_AFTER + GRACE:
                each.lose(self._too_long())

    def _hear(self, evaluator: EvaluatorHandle) -> None:
        if evaluator.why_lost is not None:
            self._bury(evaluator)
        elif evaluator.place is None:
            self._group.take_start(evaluator)
        else:
            self._take_answer(evaluator)

    def _take_answer(self, evaluator: EvaluatorHandle) -> None:
        try:
            answer = evaluator.take_answer()
        except ray.exceptions.RayTaskError:
            raise  # the evaluator itself is wrong; what evaluate raises is an outcome
        except ray.exceptions.RayError:
            evaluator.lose(DIED)
            return
        for ended in answer.ended:
            self._tell(evaluator, ended)
        for trial_id in answer.given_back:
            self._backlog.append(evaluator.trials.pop(trial_id))
        if answer.running is None:
            return
        if answer.reported is not None:
            self._session.report(answer.running, answer.reported)
        if self._timeout is not None and answer.running_for > self._timeout - 1e-3:
            evaluator.lose(self._too_long(), blamed=answer.running)

    def _tell(self, evaluator: EvaluatorHandle, ended: Ended) -> None:
        record = evaluator.trials.get(ended.trial_id)
        if record is None or record.attempt != ended.attempt:
            return
        del evaluator.trials[record.id]
        self._batch_size.add_evaluation(ended.seconds)
        pass_on(self._session, record.id, ended.outcome, start=ended.start, node=evaluator.host)

    def _bury(self, evaluator: EvaluatorHandle) -> None:
        """An evaluator has gone: what it had ended counts, what it was at has failed, the others are run elsewhere.

        Where its whole machine has gone, so has the word of what it was at, and no trial is to blame.
        """
        self._group.remove(evaluator)
        left = _what_is_left(evaluator)
        for ended in left.ended if left is not None else ():
            self._tell(evaluator, ended)
        running = left.running if left is not None else next(iter(evaluator.trials), None)
        failed = evaluator.trials.get(running if evaluator.blamed is None else evaluator.blamed)  # type: ignore[arg-type]
        if failed is not None and left is None and self._num_moves[failed.id] < MOST_MOVES:
            self._num_moves[failed.id] += 1
            failed = None
        if failed is not None:
            del evaluator.trials[failed.id]
            why = evaluator.why_lost or DIED
            self._session.fail(failed.id, why, died=why == DIED, node=evaluator.host)
        self._backlog.extendleft(reversed(evaluator.trials.values()))
        evaluator.trials.clear()

    def _too_long(self) -> str:
        return f"the trial took longer than trial_timeout={self._timeout:g} s; its worker was ended"


def _what_is_left(evaluator: EvaluatorHandle) -> Left | None:
    """Of one that is lost; ``None`` where its machine has gone too."""
    try:
        left: Left = ray.get(evaluator.call)
    except ray.exceptions.RayError:
        return None
    return left


def _num_left(session: SearchSession) -> int:
    """Trials that may still be run, those that run included."""
    return session.limits.num_trials - session.num_spent + session.num_running
