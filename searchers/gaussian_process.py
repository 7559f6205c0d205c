"""Bayesian optimization with a Gaussian process: which candidate to evaluate next. The regression is in ``gp_regression``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raynas.errors import OptionError
from raynas.space import Architecture, SearchSpace

from .gp_regression import GaussianProcess, HammingEmbedding
from .predictor_based import PredictorBasedSearcher, normal_scores

MAX_FITTED = 300  # results that the hyperparameters are fitted to: time grows with their cube
FIT_STEPS = 8  # of gradient descent, each time
GROWTH = 1.1  # the hyperparameters are fitted anew when there are so many times the results
FAR_BELOW = -30.0  # standard deviations, from which on the improvement is computed by its limit


class GaussianProcessSearcher(PredictorBasedSearcher):
    """Expected improvement under a Gaussian process over architectures.

    The kernel decays exponentially with the weighted Hamming distance (``HammingEmbedding``); the weight of each key and
    the noise maximize the marginal likelihood (Rasmussen and Williams, "Gaussian processes for machine learning", MIT
    Press 2006, section 5.4.1). Targets are the normal scores of the ranks. Of the candidates, the one of the largest
    expected improvement (Jones et al., "Efficient global optimization of expensive black-box functions", 1998, equation
    15) over the best posterior mean is proposed. Trials that still run count as results that are just what the process
    expects (Ginsbourger et al., "Kriging is well-suited to parallelize optimization", 2010, the kriging believer).

    Args:
        seed: of the searcher's generator.
        num_initial: random proposals before the process is asked; imported results count.
        num_candidates: how many are scored for one proposal, at most.
        num_parents: how many of the best results are varied to make candidates.
        max_results: with more results than that the process knows the best half and the newest half of so many. A proposal
            takes time that grows with its cube.

    Raises:
        OptionError: a number is out of its range.
    """

    def __init__(
        self,
        seed: int = 0,
        num_initial: int = 10,
        *,
        num_candidates: int = 250,
        num_parents: int = 10,
        max_results: int = 500,
    ) -> None:
        super().__init__(seed, num_initial, num_candidates=num_candidates, num_parents=num_parents)
        if max_results < 2:
            raise OptionError(f"found max_results={max_results}; expected at least 2")
        self.max_results = max_results
        self._embed: HammingEmbedding
        self._process: GaussianProcess
        self._next_fit = 0  # so many results, and the hyperparameters are fitted anew

    def update_search_space(self, search_space: SearchSpace) -> None:
        super().update_search_space(search_space)
        self._embed = HammingEmbedding(search_space)
        self._process = GaussianProcess(self._embed.owners)

    def score(self, candidates: Sequence[Architecture]) -> list[float]:
        """The logarithm of the expected improvement of each candidate."""
        results = self._archive.results
        targets = np.array(normal_scores([result.value for result in results]))
        used = _best_and_newest(targets, self.max_results)
        known, targets = self._embed([results[number].architecture for number in used]), targets[used]
        if len(results) >= self._next_fit:
            fitted = _best_and_newest(targets, MAX_FITTED)
            self._process.fit(known[fitted], targets[fitted], FIT_STEPS)
            self._next_fit = max(len(results) + 1, math.ceil(len(results) * GROWTH))
        running = self._embed(list(self._running.values()))
        mean, deviation, best = self._process.predict(known, targets, self._embed(candidates), running)
        return [log_expected_improvement(m - best, s) for m, s in zip(mean.tolist(), deviation.tolist(), strict=True)]

    def state_dict(self) -> dict[str, Any]:
        process = {"parameters": self._process.parameters.tolist(), "next_fit": self._next_fit}
        return super().state_dict() | {"process": process}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._process.parameters = np.array(state["process"]["parameters"])
        self._next_fit = state["process"]["next_fit"]


def log_expected_improvement(gain: float, deviation: float) -> float:
    """The logarithm of E[max(0, N(gain, deviation**2))].

    The logarithm, since far below the best the expectation itself is too small for a float, and its order would be lost.

    Example:
        >>> round(log_expected_improvement(0.0, 1.0), 4)  # 1 / sqrt(2 pi)
        -0.9189
    """
    z = gain / deviation
    log_density = -0.5 * (z * z + math.log(2 * math.pi))
    if z < FAR_BELOW:
        return math.log(deviation) + log_density - 2 * math.log(-z)
    return math.log(deviation) + math.log(math.exp(log_density) + z * 0.5 * math.erfc(-z / math.sqrt(2)))


def _best_and_newest(targets: np.ndarray[Any, Any], limit: int) -> np.ndarray[Any, Any]:
    """Indices, ascending, of at most ``limit``: one half the newest, the others the best of the rest."""
    number = len(targets)
    if number <= limit:
        return np.arange(number)
    old = number - limit // 2
    best = np.argsort(-targets[:old], kind="stable")[: limit - limit // 2]
    return np.concatenate([np.sort(best), np.arange(old, number)])
