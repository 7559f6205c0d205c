"""How many architectures an evaluator is given at once, and how they are dealt. Numbers only: no Ray, no clock."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

MAX_SHARE = 0.05  # of the work, which an exchange with the driver may cost while the evaluator waits for it
MOST = 32  # architectures that one evaluator has at once
_WEIGHT = 0.1  # of what was measured last


class BatchSize:
    """Learns how long an evaluation takes, and how long an evaluator waits for the next one when it has none left.

    An evaluator with a single architecture waits for an exchange after each. Where that is more than ``MAX_SHARE`` of the
    work it is given more ahead: so many that half of them outlast an exchange, since the other half is sent for by then. No
    more than that, because who searches would have learned from what is still waiting, and at the end of a generation an
    evaluator with many would be waited for: with these the wait is about two exchanges and an evaluation.
    """

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._overhead: float | None = None

    def add_evaluation(self, seconds: float) -> None:
        """One evaluation took so long."""
        self._seconds = _blend(self._seconds, seconds)

    def add_exchange(self, seconds: float) -> None:
        """From results being ready at an evaluator to its next architecture arriving there: so long."""
        self._overhead = _blend(self._overhead, seconds)

    @property
    def overhead(self) -> float:
        """Seconds of an exchange, 0 as long as none was measured."""
        return self._overhead or 0.0

    def size(self) -> int:
        """How many architectures an evaluator should have: 1 until something was measured."""
        if self._seconds is None or self._overhead is None or self._overhead <= MAX_SHARE * self._seconds:
            return 1
        return min(MOST, 1 + math.ceil(min(2 * self._overhead / max(self._seconds, 1e-9), MOST)))

    def is_worth_sharing(self, num_waiting: int, running_for: float) -> bool:
        """Whether what waits at one evaluator is better given to another that has nothing: if it waits longer than the way."""
        return num_waiting > 0 and num_waiting * max(self._seconds or 0.0, running_for) > self.overhead


def deal(has: Sequence[int], number: int, most: int) -> list[int]:
    """Deal so many new architectures, each to who has least, nobody beyond ``most``.

    Args:
        has: how many each evaluator has already.
        number: how many there are to deal; no more than fit.
        most: how many one may have.

    Returns:
        How many each of them gets.
    """
    given = [0] * len(has)
    places = [(count, index) for index, count in enumerate(has) if count < most]
    heapq.heapify(places)
    for _ in range(number):
        count, index = places[0]
        given[index] += 1
        if count + 1 < most:
            heapq.heapreplace(places, (count + 1, index))
        else:
            heapq.heappop(places)
    return given


def _blend(before: float | None, now: float) -> float:
    return now if before is None else before + _WEIGHT * (now - before)
