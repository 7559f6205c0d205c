"""Random search without replacement: a random permutation of the space, one architecture after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raynas.errors import NoMoreTrials
from raynas.explore import Searcher
from raynas.space import Architecture

MAX_FORBIDDEN = 20_000


class RandomSearcher(Searcher):
    """Every architecture once, in random order, until the space is used up.

    The architectures are numbered; a Fisher-Yates shuffle of the numbers is carried out lazily, keeping only the swaps made
    so far. So a proposal costs the same in a space of 10 and of 10**30. Random search is the baseline that others must
    beat (Li and Talwalkar, "Random search and reproducibility for neural architecture search", UAI 2019).

    What the constraint forbids is passed over; ``MAX_FORBIDDEN`` in a row end the search.

    Args:
        seed: of the permutation.
    """

    multi_objective = True

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._swaps: dict[int, int] = {}
        self._num_drawn = 0

    def generate_parameters(self, parameter_id: int) -> Architecture:
        for _ in range(MAX_FORBIDDEN):
            if self._num_drawn >= self.space.size:
                raise NoMoreTrials(f"all {self.space.size} architectures have been proposed")
            drawn = self.space.unrank(self._draw())
            if self.allowed is None or self.allowed(drawn):
                return drawn
        raise NoMoreTrials(f"the constraint forbade {MAX_FORBIDDEN} architectures in a row")

    def _draw(self) -> int:
        drawn, last = self._num_drawn, self.space.size
        at = self.rng.randrange(drawn, last)
        number = self._swaps.get(at, at)
        self._swaps[at] = self._swaps.pop(drawn, drawn)
        self._num_drawn += 1
        return number

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self.seed, "num_drawn": self._num_drawn}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seed, self._swaps, self._num_drawn = state["seed"], {}, 0
        self.rng.seed(self.seed)
        for _ in range(state["num_drawn"]):
            self._draw()
