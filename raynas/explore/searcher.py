"""The tuner protocol: what a searcher is, and what it may answer. Who calls it is in ``session``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from raynas.errors import NoMoreTrials
from raynas.space import Architecture, SearchSpace

Value = float | Mapping[str, float]


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

    Example:
        >>> class FirstOnly(Searcher):
        ...     def generate_parameters(self, parameter_id):
        ...         return self.space.unrank(0)
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.space: SearchSpace

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Called once, before anything else."""
        self.space = search_space

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
        """A trial has finished. ``value`` is finite and larger is better; a mapping where there are several objectives."""

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


Constraint = Callable[[Architecture], bool]
