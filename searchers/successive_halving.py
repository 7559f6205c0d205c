"""Successive halving: many architectures with a small budget, the best of them with more. Another searcher proposes them."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from raynas.errors import InvalidProposalError, NoMoreTrials, OptionError
from raynas.explore import Proposal, Searcher, make_searcher
from raynas.explore.guarded_searcher import GuardedSearcher
from raynas.space import Architecture, SearchSpace


@dataclass
class _Entry:
    value: float
    architecture: Architecture
    promoted: bool = False


class _Rung:
    """The results of one budget, the best first, the earlier of equals first."""

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self.entries: list[_Entry] = []
        self._digests: set[str] = set()

    def add(self, entry: _Entry) -> None:
        """The first result of an architecture counts: its place is taken once, however often it is proposed."""
        if entry.architecture.digest not in self._digests:
            self._digests.add(entry.architecture.digest)
            insort(self.entries, entry, key=lambda other: -other.value)

    def promote(self, num_best: int) -> Architecture | None:
        """The best that was not promoted, if it is among so many of the best."""
        entry = next((entry for entry in islice(self.entries, num_best) if not entry.promoted), None)
        if entry is None:
            return None
        entry.promoted = True
        return entry.architecture


class SuccessiveHalvingSearcher(Searcher):
    """Whatever is in the best ``1 / eta`` of its budget is evaluated again with ``eta`` times that budget, and so on.

    Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016, with the
    asynchronous promotions of Li et al., "A system for massively parallel hyperparameter tuning", MLSys 2020, Algorithm 2:
    whenever an architecture can be promoted, the one with the highest budget is; else another searcher is asked for a new
    one, which gets the lowest budget. No budget waits for another one to be complete.

    Proposals carry their budget (``trial.budget`` in ``evaluate``). The other searcher is told what its proposals came to with
    the lowest budget, so that all it learns from is comparable, and never of promotions. What fails is not promoted, and a
    promotion that fails is not repeated.

    When the other searcher is done, all that can be promoted is; then, with nothing running, each budget without a result gets
    the best that is left of the one below it. So a small space, of which ``1 / eta`` is less than one, ends with its best
    evaluated with ``max_budget`` all the same, as it does in the synchronous algorithm.

    Args:
        seed: of the other searcher, where it is given by name; ``None`` for one that takes no seed.
        searcher: name of the searcher that proposes, or the object itself, which has not been told a space yet.
        searcher_options: its options, where it is given by name.
        min_budget: the lowest budget, in whatever unit ``evaluate`` takes it for, such as epochs.
        max_budget: the highest.
        eta: how much more each budget is than the one below; also one in how many is promoted. More than 1.

    Attributes:
        budgets: all of them, ascending: ``min_budget * eta**k``, and ``max_budget``, which is at least ``eta`` times the one
            below it (where there are more than two).

    Raises:
        OptionError: a number is out of its range, or options come with an object.
        UnknownSearcherError: no searcher has that name.

    Example:
        >>> SuccessiveHalvingSearcher(searcher="random", min_budget=2, max_budget=20, eta=3).budgets
        (2, 6, 20)
    """

    def __init__(
        self,
        seed: int | None = 0,
        searcher: Any = "local_search",
        searcher_options: Mapping[str, Any] | None = None,
        *,
        min_budget: float = 1,
        max_budget: float = 9,
        eta: float = 3,
    ) -> None:
        super().__init__(seed or 0)
        if not 0 < min_budget <= max_budget < math.inf or not 1 < eta < math.inf:
            found = f"min_budget={min_budget}, max_budget={max_budget}, eta={eta}"
            raise OptionError(f"{found}; expected 0 < min_budget <= max_budget and eta > 1, all finite")
        self.budgets, self.eta = _budgets(min_budget, max_budget, eta), eta
        self._searcher = _make_inner(searcher, searcher_options, seed)
        self._rungs = [_Rung(budget) for budget in self.budgets]
        self._running: dict[int, int] = {}  # id to the number of its rung
        self._has_more = True  # whether the other searcher has
        self._inner: GuardedSearcher

    def update_search_space(self, search_space: SearchSpace) -> None:
        super().update_search_space(search_space)
        self._inner = GuardedSearcher(self._searcher, search_space, self._is_allowed)

    def _is_allowed(self, architecture: Architecture) -> bool:
        return self.allowed is None or self.allowed(architecture)

    def generate_parameters(self, parameter_id: int) -> Proposal | None:
        number, architecture = self._next(parameter_id)
        if architecture is None:
            return None
        self._running[parameter_id] = number
        return Proposal(architecture, self.budgets[number])

    def _next(self, parameter_id: int) -> tuple[int, Architecture | None]:
        """The number of a rung and what to evaluate there; ``None`` to wait."""
        for number in reversed(range(1, len(self._rungs))):
            below = self._rungs[number - 1]
            promoted = below.promote(int(len(below.entries) // self.eta))
            if promoted is not None:
                return number, promoted
        if self._has_more:
            try:
                proposal = self._inner.generate(parameter_id)
                return 0, proposal.architecture if proposal is not None else None
            except NoMoreTrials:
                self._has_more = False
            except InvalidProposalError:
                self._running[parameter_id] = 0  # it ends at once, and who proposed it is told so
                raise
        return (0, None) if self._running else self._next_at_the_end()

    def _next_at_the_end(self) -> tuple[int, Architecture]:
        for number in range(1, len(self._rungs)):
            below = self._rungs[number - 1]
            promoted = below.promote(len(below.entries)) if not self._rungs[number].entries else None
            if promoted is not None:
                return number, promoted
        raise NoMoreTrials(f"searcher {self._inner.name} has nothing more, and nothing is left to promote")

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        super().receive_trial_result(parameter_id, parameters, value)
        number = self._running.pop(parameter_id, None)
        if number is None:
            return  # told of what it did not propose: nobody knows with which budget
        self._rungs[number].add(_Entry(value, parameters))
        if number == 0:
            self._inner.tell(parameter_id, parameters, value)

    def trial_end(self, parameter_id: int, success: bool) -> None:
        if self._running.pop(parameter_id, None) == 0:  # those with a result have left already
            self._inner.tell(parameter_id, None, None)

    def import_data(self, data: Sequence[Mapping[str, Any]]) -> None:
        """Handed on to the other searcher; nothing imported is promoted, since its budget is not known."""
        self._inner.import_data(data)

    def state_dict(self) -> dict[str, Any] | None:
        inner = self._inner.state()
        if inner is None:
            return None
        rungs = [[[entry.value, entry.architecture.to_row(), entry.promoted] for entry in rung.entries] for rung in self._rungs]
        return {"inner": inner, "has_more": self._has_more, "running": list(self._running.items()), "rungs": rungs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._inner.load_state(state["inner"])
        self._has_more, self._running = state["has_more"], dict(state["running"])
        for rung, entries in zip(self._rungs, state["rungs"], strict=True):
            for value, row, promoted in entries:
                rung.add(_Entry(value, Architecture.from_row(self.space, row), promoted))


def _budgets(lowest: float, highest: float, eta: float) -> tuple[float, ...]:
    ratio = highest / lowest * (1 + 1e-9)  # an exact power may miss by a rounding error
    below = [lowest]
    while below[-1] * eta * eta <= lowest * ratio:
        below.append(below[-1] * eta)
    return (*below, highest) if lowest < highest else (lowest,)


def _make_inner(searcher: Any, options: Mapping[str, Any] | None, seed: int | None) -> Any:
    if isinstance(searcher, str):
        return make_searcher(searcher, ({} if seed is None else {"seed": seed}) | dict(options or {}))
    if options:
        raise OptionError(
            f"searcher_options={dict(options)} are for a searcher given by name; found a {type(searcher).__name__}"
        )
    return searcher
