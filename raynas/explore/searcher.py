"""The tuner protocol: what a searcher is, and what it may answer. Who calls it is in ``session``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from raynas.errors import NoMoreTrials, ResultError
from raynas.space import Architecture, SearchSpace

Value = float | Mapping[str, float]
Constraint = Callable[[Architecture], bool]


@dataclass(frozen=True)
class Proposal:
    """An architecture with the budget that it should be given.

    Attributes:
        architecture: what to evaluate.
        budget: epochs, steps or whatever ``evaluate`` takes it for; it is found in ``trial.budget``.
    """

    architecture: Architecture
    budget: float | None = None


class Searcher:
    """Proposes architectures and learns from their results: the tuner protocol.

    Inherit and write ``generate_parameters``; for one that learns, ``receive_trial_result`` too. All calls come from one
    thread. Any object with ``update_search_space``, ``generate_parameters`` and ``receive_trial_result`` works just as
    well, whatever it inherits from.

    Args:
        seed: of the one generator that the searcher owns, ``self.rng``. The global generators are never used.

    Attributes:
        space: the search space, once ``update_search_space`` was called.
        rng: the generator.
        allowed: the constraint, once ``set_constraint`` was called; ``None`` if there is none.
        multi_objective: whether it can be told several objectives at once; of the class. A search with several metrics
            refuses a searcher that cannot.

    Example:
        >>> class FirstOnly(Searcher):
        ...     def generate_parameters(self, parameter_id):
        ...         return self.space.unrank(0)
    """

    multi_objective: ClassVar[bool] = False

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.space: SearchSpace
        self.allowed: Constraint | None = None

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Called once, before anything else."""
        self.space = search_space

    def set_constraint(self, allowed: Constraint) -> None:
        """Told, after the space and before the first proposal, which architectures may be proposed.

        What is forbidden and proposed all the same is not run: it comes back as a trial that ended without a result.
        """
        self.allowed = allowed

    def generate_parameters(self, parameter_id: int) -> Architecture | Proposal | None:
        """Propose something to evaluate.

        Returns:
            An architecture, or a proposal with a budget; ``None`` to wait for the results of trials that still run.

        Raises:
            NoMoreTrials: the space is done; the searcher is not asked again.
        """
        raise NoMoreTrials(f"{type(self).__name__} proposes nothing: it does not define generate_parameters")

    def generate_multiple_parameters(self, parameter_ids: Sequence[int]) -> list[Architecture | Proposal]:
        """Propose several at once; a shorter list than asked for means: wait for the rest."""
        proposals: list[Architecture | Proposal] = []
        for parameter_id in parameter_ids:
            try:
                proposal = self.generate_parameters(parameter_id)
            except NoMoreTrials:
                if not proposals:
                    raise
                break
            if proposal is None:
                break
            proposals.append(proposal)
        return proposals

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Value) -> None:
        """A trial has finished.

        Whoever overrides this calls it first, for its check.

        Args:
            parameter_id: of the proposal; negative for what was imported.
            parameters: what was proposed.
            value: larger is better; a mapping from metric to value where there are several objectives.

        Raises:
            ResultError: a value is not a finite number. A failure is never a number: it is a ``trial_end`` without a result.
        """
        for number in value.values() if isinstance(value, Mapping) else (value,):
            if isinstance(number, bool) or not isinstance(number, int | float) or not _is_finite(number):
                raise ResultError(f"trial {parameter_id} was told {value!r}; expected a finite number, larger is better")

    def trial_end(self, parameter_id: int, success: bool) -> None:
        """A trial has ended, exactly once for each id, after its result; ``success`` is False if there is none."""

    def import_data(self, data: Sequence[Mapping[str, Any]]) -> None:
        """Results from elsewhere, ``{"parameter": ..., "value": ...}`` each, before the first proposal."""
        for number, entry in enumerate(data):
            self.receive_trial_result(-1 - number, self.space.validate(entry["parameter"]), entry["value"])

    def state_dict(self) -> dict[str, Any] | None:
        """Everything that the next proposals depend on, as JSON; ``None``: no state, a resumed run replays from the start."""
        return None

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the searcher whose ``state_dict`` this was: the very same sequence."""


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer that no float can hold
        return False
