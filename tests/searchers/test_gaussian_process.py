"""The Gaussian process searcher: the contract, the expected improvement, which results it knows, what it finds."""

import json
import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from raynas_searchers.gaussian_process import GaussianProcessSearcher, _best_and_newest, log_expected_improvement

from raynas.errors import OptionError
from raynas.space import Architecture, SearchSpace
from raynas.testing import SearcherContract


class TestContract(SearcherContract):
    predictor = True

    def make_searcher(self, seed: int) -> GaussianProcessSearcher:
        return GaussianProcessSearcher(seed=seed, num_initial=4, num_candidates=20)


class TestSpeedAsItIs(SearcherContract):
    """With the candidates that it has if nobody says otherwise."""

    predictor = True

    def make_searcher(self, seed: int) -> GaussianProcessSearcher:
        return GaussianProcessSearcher(seed=seed)

    def make_spaces(self) -> list[SearchSpace]:
        return [SearchSpace({f"key{i}": {"_type": "choice", "_value": [1, 2, 3]} for i in range(6)})]


def _searcher(space: SearchSpace, **options: Any) -> GaussianProcessSearcher:
    searcher = GaussianProcessSearcher(**options)
    searcher.update_search_space(space)
    return searcher


def _import(searcher: GaussianProcessSearcher, value: Callable[[Architecture], float], number: int) -> None:
    rng = Random(1)
    drawn = [searcher.space.sample(rng) for _ in range(number)]
    searcher.import_data([{"parameter": each.to_dict(), "value": value(each)} for each in drawn])


@pytest.mark.parametrize(("gain", "deviation"), [(0.0, 1.0), (0.7, 0.4), (-1.0, 0.5), (-2.0, 1.5), (3.0, 0.1)])
def test_the_expected_improvement_is_its_integral(gain: float, deviation: float) -> None:
    values = np.linspace(0, gain + 12 * deviation, 200_001) if gain + 12 * deviation > 0 else np.zeros(2)
    density = np.exp(-0.5 * ((values - gain) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
    integral = float((values * density).sum() * (values[1] - values[0]))
    assert math.exp(log_expected_improvement(gain, deviation)) == pytest.approx(integral, rel=1e-4)


def test_the_improvement_keeps_its_order_far_below_the_best() -> None:
    found = [log_expected_improvement(-gain, 1.0) for gain in (20, 29.99, 30.01, 40, 100, 1e4)]
    assert found == sorted(found, reverse=True)
    assert found[1] - found[2] == pytest.approx(0.02 * 30, rel=0.1)  # no step where the formula changes
    assert all(math.isfinite(each) for each in found)


def test_the_best_and_the_newest_are_known() -> None:
    targets = np.array([5.0, 9.0, 1.0, 7.0, 8.0, 0.0, 2.0, 3.0])
    assert _best_and_newest(targets, 4).tolist() == [1, 4, 6, 7]
    assert _best_and_newest(targets, 8).tolist() == list(range(8))
    assert _best_and_newest(targets, 3).tolist() == [1, 4, 7]


def test_it_scores_what_is_good_higher(space: SearchSpace, separable: Any) -> None:
    searcher, rng = _searcher(space), Random(2)
    _import(searcher, separable, 150)
    candidates = [space.sample(rng) for _ in range(200)]
    order = np.argsort(searcher.score(candidates))
    values = np.array([separable(each) for each in candidates])[order]
    assert values[-20:].mean() > values.mean() + 1.5 * values.std()


def test_several_at_once_are_not_all_alike(space: SearchSpace, separable: Any) -> None:
    """Each outstanding one makes what is like it less worth trying."""
    searcher = _searcher(space)
    _import(searcher, separable, 30)
    candidate = searcher.generate_parameters(0)
    near = list(space.neighbours(candidate))[:5]
    with_running = np.array(searcher.score(near))
    searcher.trial_end(0, False)
    assert (with_running < np.array(searcher.score(near))).all()


def test_the_fit_is_part_of_the_state(space: SearchSpace, separable: Any) -> None:
    searcher = _searcher(space)
    _import(searcher, separable, 40)
    searcher.generate_parameters(0)
    state = json.loads(json.dumps(searcher.state_dict()))
    assert state["process"]["next_fit"] == 44
    resumed = _searcher(space)
    resumed.load_state_dict(state)
    assert [resumed.generate_parameters(number) for number in range(1, 5)] == [
        searcher.generate_parameters(number) for number in range(1, 5)
    ]


def test_it_knows_no_more_results_than_it_should(space: SearchSpace, separable: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    searcher = _searcher(space, max_results=10)
    _import(searcher, separable, 60)
    seen = []
    embed = searcher._embed.__call__

    def remembered(architectures: list[Architecture]) -> Any:
        seen.append(len(architectures))
        return embed(architectures)

    monkeypatch.setattr(searcher, "_embed", remembered)
    searcher.generate_parameters(0)
    assert seen[0] == 10


def test_it_beats_evolution_and_random_search(mean_best: Callable[..., float]) -> None:
    found = mean_best("gaussian_process", num_trials=40, num_candidates=60)
    assert found > mean_best("regularized_evolution", num_trials=40, population_size=10, sample_size=5) + 0.15
    assert found > mean_best("random", num_trials=40) + 0.3


def test_a_process_knows_at_least_two_results() -> None:
    with pytest.raises(OptionError, match="max_results=1"):
        GaussianProcessSearcher(max_results=1)
