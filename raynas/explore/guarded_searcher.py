"""``GuardedSearcher``: calls anyone's searcher by the tuner protocol, and turns what goes wrong there into one error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raynas.errors import NoMoreTrials, RaynasError, SearcherError
from raynas.explore.searcher import Constraint, Proposal, Value
from raynas.space import Architecture, SearchSpace


class GuardedSearcher:
    """A searcher as the session calls it: what is optional may be missing, what it raises names it.

    Args:
        searcher: anything with ``update_search_space``, ``generate_parameters`` and ``receive_trial_result``.
        space: what it is told.
        constraint: what it is told where it takes one.

    Raises:
        SearcherError: it lacks one of the three methods.
    """

    def __init__(self, searcher: Any, space: SearchSpace, constraint: Constraint | None) -> None:
        self._searcher, self._space, self.name = searcher, space, type(searcher).__name__
        for method in ("update_search_space", "generate_parameters", "receive_trial_result"):
            if not callable(getattr(searcher, method, None)):
                raise SearcherError(f"{self.name} is no searcher: it has no method {method}")
        searcher.update_search_space(space)
        if constraint is not None and hasattr(searcher, "set_constraint"):
            searcher.set_constraint(constraint)

    def generate(self, parameter_id: int) -> Proposal | None:
        """The next proposal, checked; ``None`` to wait.

        Raises:
            NoMoreTrials: the space is done.
            SearcherError: the searcher raised, or proposed what does not fit the space.
        """
        try:
            proposed = self._searcher.generate_parameters(parameter_id)
            if proposed is None:
                return None
            if isinstance(proposed, Proposal):
                return Proposal(Architecture.from_dict(self._space, proposed.architecture), proposed.budget)
            return Proposal(Architecture.from_dict(self._space, proposed))
        except NoMoreTrials:
            raise
        except RaynasError as error:
            raise SearcherError(f"searcher {self.name}, proposal {parameter_id}: {error}") from error
        except Exception as error:
            raise SearcherError(f"searcher {self.name} raised {type(error).__name__} when asked: {error}") from error

    def tell(self, parameter_id: int, architecture: Architecture, value: Value | None) -> None:
        """A trial has ended; ``None`` means without a result. Raises ``SearcherError`` if the searcher does."""
        try:
            if value is not None:
                self._searcher.receive_trial_result(parameter_id, architecture, value)
            if hasattr(self._searcher, "trial_end"):
                self._searcher.trial_end(parameter_id, value is not None)
        except Exception as error:
            raise SearcherError(f"searcher {self.name} raised {type(error).__name__} when told: {error}") from error

    def state(self) -> dict[str, Any] | None:
        """Its ``state_dict``; ``None`` if it has none. Raises ``SearcherError`` if the searcher raises."""
        try:
            state: dict[str, Any] | None = self._searcher.state_dict() if hasattr(self._searcher, "state_dict") else None
        except Exception as error:
            raise SearcherError(f"searcher {self.name} raised {type(error).__name__} in state_dict: {error}") from error
        return state

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state. Raises ``SearcherError`` if it cannot: another searcher's state, for example."""
        try:
            self._searcher.load_state_dict(state)
        except Exception as error:
            found = f"searcher {self.name} cannot load the state of the run: {type(error).__name__}: {error}"
            raise SearcherError(f"{found}; was the run made with another searcher?") from error
