"""Grid search: every architecture of the space once, by number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raynas.errors import NoMoreTrials
from raynas.explore import Searcher
from raynas.space import Architecture

MAX_FORBIDDEN = 20_000


class GridSearcher(Searcher):
    """Every architecture once, in the order of ``SearchSpace.unrank``: the last key varies fastest.

    Made for spaces that are small enough to be searched to their end, as for a table of all results. It does not learn, and
    neighbours in its order are alike, so a part of a grid is a worse sample of a space than as many random architectures.

    What the constraint forbids is passed over; ``MAX_FORBIDDEN`` in a row end the search.

    Args:
        seed: taken as by every searcher; the order does not depend on it.
    """

    multi_objective = True

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._number = 0

    def generate_parameters(self, parameter_id: int) -> Architecture:
        for _ in range(MAX_FORBIDDEN):
            if self._number >= self.space.size:
                raise NoMoreTrials(f"all {self.space.size} architectures have been proposed")
            architecture = self.space.unrank(self._number)
            self._number += 1
            if self.allowed is None or self.allowed(architecture):
                return architecture
        raise NoMoreTrials(f"the constraint forbade {MAX_FORBIDDEN} architectures in a row")

    def state_dict(self) -> dict[str, Any]:
        return {"number": self._number}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._number = state["number"]
