"""What predictor-based searchers share: first proposals, candidates, state. The predictors are in files of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

from raynas.errors import OptionError
from raynas.explore import Archive, Searcher
from raynas.space import Architecture, SearchSpace, generator_state, restore_generator

MIN_RESULTS = 2  # fewer say nothing about which is better
LOCAL_SHARE = 0.6  # of the candidates, made from the best results; the rest are random
FURTHER = 0.3  # chance that a candidate is mutated once more, and again


class PredictorBasedSearcher(Searcher):
    """Random proposals at first; then, of some candidates, the one that a predictor scores best.

    Candidates are the best results with one or a few keys changed, and random architectures: none that is known already.
    The constraint is asked about candidates in the order of their scores, until one is allowed, since it may be slow. It
    never waits: of trials that still run a predictor knows what they are, but not what they will result in.

    Inherit and write ``score``.

    Args:
        seed: of the searcher's generator.
        num_initial: random proposals before the predictor is asked; imported results count.
        num_candidates: how many are scored for one proposal, at most.
        num_parents: how many of the best results are varied.

    Raises:
        OptionError: a number is not positive.
    """

    def __init__(self, seed: int = 0, num_initial: int = 10, *, num_candidates: int = 250, num_parents: int = 10) -> None:
        super().__init__(seed)
        if min(num_initial, num_candidates, num_parents) < 1:
            found = f"num_initial={num_initial}, num_candidates={num_candidates}, num_parents={num_parents}"
            raise OptionError(f"found {found}; expected each of them to be at least 1")
        self.num_initial, self.num_candidates, self.num_parents = num_initial, num_candidates, num_parents
        self._running: dict[int, Architecture] = {}
        self._archive: Archive

    def score(self, candidates: Sequence[Architecture]) -> Sequence[float]:
        """How promising each candidate is, after all results so far; larger is better."""
        raise NotImplementedError("write score(self, candidates)")

    def update_search_space(self, search_space: SearchSpace) -> None:
        super().update_search_space(search_space)
        self._archive = Archive(self)

    def generate_parameters(self, parameter_id: int) -> Architecture:
        num_results = len(self._archive.results)
        blind = num_results < MIN_RESULTS or num_results + len(self._running) < self.num_initial
        architecture = self._archive.draw() if blind else self._choose()
        self._running[parameter_id] = architecture
        return architecture

    def _choose(self) -> Architecture:
        candidates = self._make_candidates()
        scores = self.score(candidates) if candidates else []
        for number in sorted(range(len(candidates)), key=lambda number: -scores[number]):
            if self._archive.is_new(candidates[number]):
                return self._archive.take(candidates[number])
        return self._archive.draw(lambda: self._vary(self._parents()))

    def _make_candidates(self) -> list[Architecture]:
        known = {result.architecture.digest for result in self._archive.results}
        known.update(architecture.digest for architecture in self._running.values())
        parents = self._parents()
        num_local = int(self.num_candidates * LOCAL_SHARE)
        made: dict[str, Architecture] = {}
        for number in range(self.num_candidates):
            candidate = self._vary(parents) if number < num_local else self.space.sample(self.rng)
            if candidate.digest not in known:
                made[candidate.digest] = candidate
        return list(made.values())

    def _parents(self) -> list[Architecture]:
        best = [result.architecture for result in self._archive.best(self.num_parents)]
        return [parent for parent in best if any(self.space[key].num_options > 1 for key in parent)]

    def _vary(self, parents: Sequence[Architecture]) -> Architecture:
        if not parents:
            return self.space.sample(self.rng)
        child = self.space.mutate(parents[self.rng.randrange(len(parents))], self.rng)
        while self.rng.random() < FURTHER:
            child = self.space.mutate(child, self.rng)
        return child

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        super().receive_trial_result(parameter_id, parameters, value)
        self._archive.add(parameters, value)

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self._running.pop(parameter_id, None)

    def state_dict(self) -> dict[str, Any]:
        running = [[parameter_id, architecture.to_row()] for parameter_id, architecture in self._running.items()]
        return {"rng": generator_state(self.rng), "running": running, "archive": self._archive.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        restore_generator(self.rng, state["rng"])
        running = ((parameter_id, Architecture.from_row(self.space, row)) for parameter_id, row in state["running"])
        self._running = dict(running)
        self._archive.load_state_dict(state["archive"])


def normal_scores(values: Sequence[float]) -> list[float]:
    """Each value as the normal quantile of its rank (Blom's scores); equal values share the mean of their ranks.

    What is left is the order: one very bad result, or a metric on another scale, changes nothing for a predictor.

    Example:
        >>> [round(score, 2) for score in normal_scores([0.1, 0.9, 0.3])]
        [-0.87, 0.87, 0.0]
    """
    counts, below, at = Counter(values), 0, {}
    for value in sorted(counts):
        rank = below + (counts[value] + 1) / 2
        at[value] = NormalDist().inv_cdf((rank - 3 / 8) / (len(values) + 1 / 4))
        below += counts[value]
    return [at[value] for value in values]
