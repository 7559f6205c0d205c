"""What predictor-based searchers share: when they ask the predictor, about what, and what they remember."""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from raynas_searchers.predictor_based import PredictorBasedSearcher, normal_scores

from raynas.errors import NoMoreTrials, OptionError
from raynas.space import Architecture, SearchSpace
from raynas.testing import SearcherContract
from raynas.testing.player import score


class Oracle(PredictorBasedSearcher):
    """Knows the value of every architecture, and writes down what it is asked."""

    def __init__(self, value: Callable[[Architecture], float] = score, **options: Any) -> None:
        super().__init__(**options)
        self.value, self.asked = value, list[list[Architecture]]()

    def score(self, candidates: Sequence[Architecture]) -> list[float]:
        self.asked.append(list(candidates))
        return [self.value(candidate) for candidate in candidates]


class TestContract(SearcherContract):
    def make_searcher(self, seed: int) -> Oracle:
        return Oracle(seed=seed, num_initial=3, num_candidates=10)

    seconds_per_thousand = 4.0


def _searcher(space: SearchSpace, value: Callable[[Architecture], float] = score, **options: Any) -> Oracle:
    searcher = Oracle(value, **options)
    searcher.update_search_space(space)
    return searcher


def _run(searcher: Oracle, num_trials: int, start: int = 0) -> list[Architecture]:
    made = []
    for number in range(start, start + num_trials):
        made.append(searcher.generate_parameters(number))
        searcher.receive_trial_result(number, made[-1], searcher.value(made[-1]))
        searcher.trial_end(number, True)
    return made


def test_the_first_proposals_are_random(space: SearchSpace) -> None:
    searcher, rng = _searcher(space, seed=3, num_initial=6), Random(3)
    assert _run(searcher, 6) == [space.sample(rng) for _ in range(6)]
    assert not searcher.asked
    _run(searcher, 1, start=6)
    assert len(searcher.asked) == 1


def test_imported_results_count_as_first_ones(space: SearchSpace) -> None:
    searcher = _searcher(space, num_initial=6)
    searcher.import_data([{"parameter": space.unrank(number).to_dict(), "value": float(number)} for number in range(6)])
    _run(searcher, 1)
    assert len(searcher.asked) == 1


def test_without_results_it_goes_on_at_random(space: SearchSpace) -> None:
    searcher = _searcher(space, num_initial=4)
    for number in range(20):
        searcher.generate_parameters(number)
        if number % 2:
            searcher.trial_end(number, False)
    assert not searcher.asked


def test_the_best_candidate_is_proposed(space: SearchSpace, separable: Any) -> None:
    searcher = _searcher(space, separable)
    proposed = _run(searcher, 30)[10:]
    assert proposed == [max(asked, key=separable) for asked in searcher.asked]


def test_candidates_are_unknown_and_most_are_near_the_best(space: SearchSpace, separable: Any) -> None:
    searcher = _searcher(space, separable, num_parents=2, num_candidates=100)
    _run(searcher, 20)
    known = {result.architecture for result in searcher._archive.results}
    running = [searcher.generate_parameters(number) for number in range(20, 23)]
    asked = searcher.asked[-1]
    assert len(asked) == len(set(asked)) <= 100
    assert not set(asked) & (known | set(running[:2]))
    best = sorted(known, key=separable)[-2:]
    near = [min(sum(each.indices[key] != parent.indices[key] for key in space) for parent in best) <= 2 for each in asked]
    assert 0.3 < sum(near) / len(near) < 0.9


def test_the_constraint_is_asked_from_the_best_candidate_on(space: SearchSpace, separable: Any) -> None:
    asked: list[Architecture] = []

    def allowed(architecture: Architecture) -> bool:
        asked.append(architecture)
        return architecture.indices["layer0"] == (1,)

    searcher = _searcher(space, separable)
    searcher.set_constraint(allowed)
    _run(searcher, 10)
    asked.clear()
    proposed = _run(searcher, 1, start=10)[0]
    better = [each for each in searcher.asked[0] if separable(each) > separable(proposed)]
    assert proposed.indices["layer0"] == (1,)
    assert set(asked) <= {*better, proposed}


def test_a_space_is_searched_to_its_end() -> None:
    space = SearchSpace({f"key{i}": {"_type": "choice", "_value": [1, 2, 3]} for i in range(3)})
    searcher = _searcher(space)
    assert len(set(_run(searcher, 27))) == 27
    with pytest.raises(NoMoreTrials):
        searcher.generate_parameters(27)


def test_the_state_keeps_what_runs(space: SearchSpace) -> None:
    searcher = _searcher(space)
    _run(searcher, 15)
    running = [searcher.generate_parameters(number) for number in range(15, 20)]
    resumed = _searcher(space)
    resumed.load_state_dict(json.loads(json.dumps(searcher.state_dict())))
    assert list(resumed._running.values()) == running
    assert _run(resumed, 10, start=20) == _run(searcher, 10, start=20)


def test_normal_scores_keep_the_order_alone() -> None:
    values = [3.0, -1e9, 3.5, 1e9, 0.0]
    assert normal_scores(values) == normal_scores([3, 1, 4, 5, 2])
    assert sorted(range(5), key=normal_scores(values).__getitem__) == [1, 4, 0, 2, 3]
    assert sum(normal_scores(values)) == pytest.approx(0)


def test_equal_values_have_equal_scores() -> None:
    first, second, third, fourth = normal_scores([1.0, 2.0, 2.0, 3.0])
    assert second == third == pytest.approx(0)
    assert first == pytest.approx(-fourth)
    assert normal_scores([7.0] * 4) == pytest.approx([0.0] * 4)


@pytest.mark.parametrize("name", ["num_initial", "num_candidates", "num_parents"])
def test_numbers_are_positive(name: str) -> None:
    with pytest.raises(OptionError, match=f"{name}=0"):
        Oracle(**{name: 0})
