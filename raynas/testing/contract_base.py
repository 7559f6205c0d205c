"""``ContractBase``: what the author of a searcher says of it, and how the tests of the contract set it to work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raynas.explore import Searcher
from raynas.explore.nni_tuner import adapt
from raynas.space import SearchSpace
from raynas.testing.player import Player, Rules
from raynas.testing.spaces import example_spaces

NUM_PROPOSALS, NUM_WITH_PREDICTOR = 30, 8  # on each space


class ContractBase:
    """The attributes and the two methods that a subclass may set; they are described at ``SearcherContract``."""

    seconds_per_thousand: float = 1.0
    predictor: bool = False
    seconds_per_proposal: float = 0.1
    proposals_per_space: int | None = None
    deterministic: bool = True
    seed_matters: bool = True

    def make_searcher(self, seed: int) -> Any:
        """A new searcher; its search space has not been told yet."""
        raise NotImplementedError("write make_searcher(self, seed), which returns a new searcher")

    def make_spaces(self) -> Sequence[SearchSpace]:
        """What it is tested on; replace it for a searcher that is made for some kinds of spaces only."""
        return example_spaces()

    @property
    def _num_proposals(self) -> int:
        return self.proposals_per_space or (NUM_WITH_PREDICTOR if self.predictor else NUM_PROPOSALS)

    @property
    def _multi_objective(self) -> bool:
        """Whether it says that it takes several objectives; what says nothing is not told any."""
        return bool(getattr(type(self.make_searcher(0)), "multi_objective", False))

    def _some_spaces(self, part: int, num_parts: int = 3) -> list[SearchSpace]:
        """All spaces; where a predictor makes proposals dear, one of so many parts of them, and the largest."""
        spaces = list(self.make_spaces())
        if not self.predictor:
            return spaces
        some = {*range(part, len(spaces), num_parts), max(range(len(spaces)), key=lambda at: spaces[at].size)}
        return [spaces[at] for at in sorted(some)]

    def _told(self, space: SearchSpace, seed: int = 0) -> Searcher:
        """A new one as a search calls it: what is no ``raynas.Searcher`` is handed plain dicts."""
        searcher = adapt(self.make_searcher(seed))
        searcher.update_search_space(space)
        return searcher

    def _player(self, space: SearchSpace, rules: Rules | None = None, *, seed: int = 0) -> Player:
        return Player(self._told(space, seed), space, rules)


def eight_by_three() -> SearchSpace:
    """Eight layers of three operators: 6,561 architectures."""
    return SearchSpace({f"layer{i}": {"_type": "layer_choice", "_value": ["a", "b", "c"]} for i in range(8)})
