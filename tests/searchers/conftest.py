"""What the tests of searchers share: a space with a known best, and searches on it."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from raynas.explore import EngineOptions, Objective, SearchLimits, SearchSession, Trial, make_searcher, run_local
from raynas.space import Architecture, SearchSpace

LAYERS = 8
SPACE = SearchSpace({f"layer{i}": {"_type": "layer_choice", "_value": ["a", "b", "c"]} for i in range(LAYERS)})
WEIGHTS = [[Random(10 * layer + option).random() for option in range(3)] for layer in range(LAYERS)]


def _separable(architecture: Architecture) -> float:
    return sum(WEIGHTS[layer][architecture[f"layer{layer}"].indices[0]] for layer in range(LAYERS))


def _report(trial: Trial) -> None:
    trial.report(sum=_separable(trial.architecture))


def _best_of(name: str, seed: int, num_trials: int, **options: Any) -> float:
    searcher = make_searcher(name, {"seed": seed, **options})
    session = SearchSession(searcher, SPACE, Objective("sum", "max"), limits=SearchLimits(num_trials))
    run_local(session, _report, EngineOptions())
    best = session.best()
    assert best is not None
    assert session.num_spent == num_trials
    return best.metrics["sum"]


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    """Eight layers of three operators: 6,561 architectures."""
    return SPACE


@pytest.fixture(scope="session")
def separable() -> Callable[[Architecture], float]:
    """A sum with one term a layer."""
    return _separable


@pytest.fixture(scope="session")
def mean_best() -> Callable[..., float]:
    """The best value that a searcher finds in so many trials, on average over 20 seeds."""

    def mean(name: str, num_trials: int = 100, **options: Any) -> float:
        return sum(_best_of(name, seed, num_trials, **options) for seed in range(20)) / 20

    return mean
