"""``Archive``: what a searcher has proposed, what came back of it, and how it draws something new and allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from raynas.errors import NoMoreTrials
from raynas.explore.searcher import Searcher
from raynas.space import Architecture

MAX_TRIES = 100  # draws from one source before another is tried
MAX_WALK = 20_000  # architectures looked at, one after the other, when draws find nothing new


class Known(NamedTuple):
    """A result: the value, larger is better (a mapping where there are several objectives), and what it is of."""

    value: Any
    architecture: Architecture


class Archive:
    """The memory of one searcher: part of its state, drawing from its generator and keeping its constraint.

    Args:
        searcher: one that knows its space. Its constraint is asked once for each architecture.

    Attributes:
        results: every result, in the order in which they were told.

    Example:
        >>> from raynas import Searcher, SearchSpace
        >>> searcher = Searcher(seed=0)
        >>> searcher.update_search_space(SearchSpace({"width": {"_type": "choice", "_value": [16, 24, 32]}}))
        >>> archive = Archive(searcher)
        >>> sorted(archive.draw()["width"].value for _ in range(3))
        [16, 24, 32]
    """

    def __init__(self, searcher: Searcher) -> None:
        self.results: list[Known] = []
        self.searcher, self._space, self._rng = searcher, searcher.space, searcher.rng
        self._proposed: dict[str, None] = {}  # digests, in their order, so that a state is the same text every time
        self._verdicts: dict[str, bool] = {}

    def is_new(self, architecture: Architecture) -> bool:
        """Whether it was neither proposed nor imported before, and is allowed."""
        return architecture.digest not in self._proposed and self.is_allowed(architecture)

    def is_allowed(self, architecture: Architecture) -> bool:
        """Whether the constraint allows it."""
        allowed = self.searcher.allowed
        if allowed is None:
            return True
        verdict = self._verdicts.get(architecture.digest)
        if verdict is None:
            verdict = self._verdicts[architecture.digest] = bool(allowed(architecture))
        return verdict

    def take(self, architecture: Architecture) -> Architecture:
        """Note that it is proposed; gives it back."""
        self._proposed[architecture.digest] = None
        return architecture

    def add(self, architecture: Architecture, value: Any) -> None:
        """Note a result."""
        self._proposed[architecture.digest] = None
        self.results.append(Known(value, architecture))

    def best(self, number: int) -> list[Known]:
        """So many of the best results, the best first, the earlier of equals first; single-objective values only."""
        return sorted(self.results, key=lambda known: -known.value)[:number]

    def draw(self, *sources: Callable[[], Architecture]) -> Architecture:
        """Something new and allowed, noted as proposed.

        Each source is drawn from ``MAX_TRIES`` times at most, then the whole space; at last the space is walked through,
        from a random place on.

        Raises:
            NoMoreTrials: there is nothing left, or (in a space of more than ``MAX_WALK``) nothing was found.
        """
        if len(self._proposed) < self._space.size:
            for source in (*sources, self._sample):
                for _ in range(MAX_TRIES):
                    drawn = source()
                    if self.is_new(drawn):
                        return self.take(drawn)
            left = self._walk()
            if left is not None:
                return self.take(left)
        raise NoMoreTrials("no architecture is left, or was found, that is allowed and was not proposed before")

    def _sample(self) -> Architecture:
        return self._space.sample(self._rng)

    def _walk(self) -> Architecture | None:
        size = self._space.size
        start = self._rng.randrange(size)
        walk = (self._space.unrank((start + step) % size) for step in range(min(size, MAX_WALK)))
        return next((architecture for architecture in walk if self.is_new(architecture)), None)

    def state_dict(self) -> dict[str, Any]:
        """As JSON; the generator is the searcher's to keep."""
        results = [[known.value, known.architecture.to_row()] for known in self.results]
        return {"results": results, "proposed": list(self._proposed)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state_dict``."""
        self.results = [Known(value, Architecture.from_row(self._space, row)) for value, row in state["results"]]
        self._proposed = dict.fromkeys(state["proposed"])
