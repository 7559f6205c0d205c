"""``GuardedSearcher``: calls anyone's searcher by the tuner protocol, and turns what goes wrong there into one error."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from raynas.errors import ArchitectureError, ConstraintError, InvalidProposalError, NoMoreTrials, OptionError, SearcherError
from raynas.explore.nni_tuner import adapt
from raynas.explore.searcher import Constraint, Proposal, Value
from raynas.space import Architecture, SearchSpace

REQUIRED = ("update_search_space", "generate_parameters", "receive_trial_result")


class GuardedSearcher:
    """A searcher as the session calls it: what is optional may be missing, what it raises names it.

    Args:
        searcher: anything with ``update_search_space``, ``generate_parameters`` and ``receive_trial_result``.
        space: what it is told.
        constraint: what it is told where it takes one.

    Attributes:
        name: of its class.
        busy_since, busy_with: when it was called (``time.monotonic``), ``None`` if it is not at work; which method.

    Raises:
        SearcherError: it lacks one of the three methods, or raises when it is told the space.
    """

    def __init__(self, searcher: Any, space: SearchSpace, constraint: Constraint | None) -> None:
        self.name = type(searcher).__name__
        self.busy_since: float | None = None
        self.busy_with = ""
        for method in REQUIRED:
            if not callable(getattr(searcher, method, None)):
                raise SearcherError(f"{self.name} is no searcher: it has no method {method}")
        self._searcher, self._space = adapt(searcher), space
        self._call("update_search_space", space)
        if constraint is not None and hasattr(self._searcher, "set_constraint"):
            self._call("set_constraint", constraint)

    @property
    def multi_objective(self) -> bool:
        """Whether it may be told several objectives at once; what does not say so is left to show it."""
        return bool(getattr(self._searcher, "multi_objective", True))

    def generate(self, parameter_id: int) -> Proposal | None:
        """The next proposal, checked; ``None`` to wait.

        Raises:
            NoMoreTrials: the space is done.
            InvalidProposalError: it proposed what does not fit the space.
            SearcherError: the searcher raised.
        """
        proposed = self._call("generate_parameters", parameter_id, through=(NoMoreTrials, InvalidProposalError))
        if proposed is None:
            return None
        architecture, budget = (proposed.architecture, proposed.budget) if isinstance(proposed, Proposal) else (proposed, None)
        try:
            return Proposal(Architecture.from_dict(self._space, architecture), _read_budget(budget))
        except (ArchitectureError, OptionError) as error:
            raise InvalidProposalError(f"searcher {self.name}, proposal {parameter_id}: {error}") from error

    def tell(self, parameter_id: int, architecture: Architecture | None, value: Value | None) -> None:
        """A trial has ended; ``None`` means without a result. Raises ``SearcherError`` if the searcher does."""
        if value is not None and architecture is not None:
            self._call("receive_trial_result", parameter_id, architecture, value)
        if hasattr(self._searcher, "trial_end"):
            self._call("trial_end", parameter_id, value is not None)

    def import_data(self, data: Sequence[Mapping[str, Any]]) -> None:
        """Results from elsewhere. Raises ``SearcherError`` if the searcher does."""
        if hasattr(self._searcher, "import_data"):
            self._call("import_data", data)
        elif data:
            logging.getLogger(__name__).warning("searcher %s has no import_data: it does not learn what is known", self.name)

    def state(self) -> dict[str, Any] | None:
        """Its ``state_dict``; ``None`` if it has none. Raises ``SearcherError`` if the searcher raises."""
        return self._call("state_dict") if hasattr(self._searcher, "state_dict") else None

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state. Raises ``SearcherError`` if it cannot: another searcher's state, for example."""
        try:
            self._searcher.load_state_dict(state)
        except Exception as error:
            found = f"searcher {self.name} cannot load the state of the run: {type(error).__name__}: {error}"
            raise SearcherError(f"{found}; was the run made with another searcher?") from error

    def _call(self, method: str, *arguments: Any, through: tuple[type[Exception], ...] = ()) -> Any:
        self.busy_with, self.busy_since = method, time.monotonic()
        try:
            return getattr(self._searcher, method)(*arguments)
        except Exception as error:
            if isinstance(error, (*through, ConstraintError)):
                raise
            raise SearcherError(f"searcher {self.name} raised {type(error).__name__} in {method}: {error}") from error
        finally:
            self.busy_since = None


def _read_budget(budget: Any) -> float | None:
    """A budget as journal and table can hold it; numpy's numbers become Python's."""
    if budget is None:
        return None
    try:
        if isinstance(budget, Real) and not isinstance(budget, bool) and math.isfinite(budget):
            return int(budget) if isinstance(budget, Integral) else float(budget)
    except OverflowError:  # an integer that no float can hold
        pass
    raise OptionError(f"found the budget {budget!r}; expected a finite number, or None")
