"""BANANAS: the contract, independent Thompson sampling, the ensemble, when it is trained."""

import json
import statistics
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
from raynas_searchers.bananas import BananasSearcher, MlpEnsemble

from raynas.errors import OptionError
from raynas.space import Architecture, SearchSpace
from raynas.testing import SearcherContract

QUICK = {"num_members": 2, "width": 8, "num_steps": 5, "num_candidates": 20}


class TestContract(SearcherContract):
    predictor = True

    def make_searcher(self, seed: int) -> BananasSearcher:
        return BananasSearcher(seed=seed, num_initial=4, **QUICK)


def _searcher(space: SearchSpace, **options: Any) -> BananasSearcher:
    searcher = BananasSearcher(**options)
    searcher.update_search_space(space)
    return searcher


def _import(searcher: BananasSearcher, value: Callable[[Architecture], float], number: int) -> None:
    rng = Random(1)
    drawn = [searcher.space.sample(rng) for _ in range(number)]
    searcher.import_data([{"parameter": each.to_dict(), "value": value(each)} for each in drawn])


def _run(searcher: BananasSearcher, value: Callable[[Architecture], float], numbers: range) -> list[Architecture]:
    made = []
    for number in numbers:
        made.append(searcher.generate_parameters(number))
        searcher.receive_trial_result(number, made[-1], value(made[-1]))
        searcher.trial_end(number, True)
    return made


def test_scores_are_independent_draws_of_what_the_members_say(space: SearchSpace, separable: Any) -> None:
    searcher = _searcher(space)
    _import(searcher, separable, 30)
    candidates = [space.unrank(100), space.unrank(5000)]
    draws = [searcher.score(candidates) for _ in range(2000)]
    assert searcher._ensemble is not None
    predicted = searcher._ensemble.predict(searcher._encode(candidates)).tolist()
    for at in range(2):
        members = [member[at] for member in predicted]
        mean, deviation = statistics.mean(members), statistics.stdev(members)
        drawn = [draw[at] for draw in draws]
        assert statistics.mean(drawn) == pytest.approx(mean, abs=0.1 * deviation)
        assert statistics.stdev(drawn) == pytest.approx(deviation, rel=0.07)
    assert abs(statistics.correlation(*zip(*draws, strict=True))) < 0.08


def test_members_are_networks_of_their_own() -> None:
    ensemble = MlpEnsemble([4, 6, 6, 1], 3, seed=0, num_ones=2)
    inputs = torch.rand(5, 4, generator=torch.Generator().manual_seed(1))
    ensemble.fit(inputs, torch.linspace(-1, 1, 5), 3)
    for member, predicted in enumerate(ensemble.predict(inputs)):
        hidden = inputs
        for weights, bias in zip(ensemble.weights, ensemble.biases, strict=True):
            hidden = hidden.clamp(min=0) if hidden is not inputs else hidden
            hidden = hidden @ weights[member] + bias[member]
        assert torch.allclose(predicted, hidden[:, 0].detach(), atol=1e-5)


def test_the_ensemble_learns_and_its_members_differ(space: SearchSpace, separable: Any) -> None:
    rng = Random(0)
    drawn = [space.sample(rng) for _ in range(200)]
    inputs = torch.tensor([space.encode(each) for each in drawn])
    values = torch.tensor([separable(each) for each in drawn])
    targets = (values - values.mean()) / values.std()
    ensemble = MlpEnsemble([inputs.shape[1], 32, 32, 1], 3, seed=0, num_ones=8)
    ensemble.fit(inputs[:150], targets[:150], 200)
    predicted = ensemble.predict(inputs[150:])
    assert float(((predicted.mean(0) - targets[150:]) ** 2).mean()) < 0.3
    assert float(predicted.std(0).min()) > 0


def test_the_seed_alone_decides_and_no_global_generator_is_used() -> None:
    before = torch.random.get_rng_state()
    inputs, targets = torch.eye(6), torch.arange(6.0)
    first, second, third = (MlpEnsemble([6, 4, 1], 2, seed=seed, num_ones=1) for seed in (5, 5, 6))
    for ensemble in (first, second, third):
        ensemble.fit(inputs, targets, 4)
    assert torch.equal(first.predict(inputs), second.predict(inputs))
    assert not torch.equal(first.predict(inputs), third.predict(inputs))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_it_is_trained_at_each_tenth_more_and_at_least_every_so_many(space: SearchSpace, separable: Any) -> None:
    searcher = _searcher(space, num_initial=20, retrain_every=4, **QUICK)
    trained = []
    for number in range(80):
        _run(searcher, separable, range(number, number + 1))
        trained.append(searcher._trained_on)
    assert sorted({*trained} - {0}) == [20, 22, 25, 28, 31, 35, 39, 43, 47, 51, 55, 59, 63, 67, 71, 75, 79]


def test_a_resumed_one_trains_the_very_same_ensemble(space: SearchSpace, separable: Any) -> None:
    searcher = _searcher(space, num_initial=4, **QUICK | {"num_steps": 30})
    _run(searcher, separable, range(45))
    running = [searcher.generate_parameters(number) for number in range(45, 48)]
    resumed = _searcher(space, num_initial=4, **QUICK | {"num_steps": 30})
    resumed.load_state_dict(json.loads(json.dumps(searcher.state_dict())))
    assert resumed._trained_on < 45
    assert not set(running) & {*(ahead := _run(resumed, separable, range(48, 60)))}
    assert ahead == _run(searcher, separable, range(48, 60))


@pytest.mark.nightly
def test_it_beats_random_search(space: SearchSpace, separable: Any, mean_best: Callable[..., float]) -> None:
    found = []
    for seed in range(5):
        searcher = _searcher(space, seed=seed, num_steps=60, num_candidates=60)
        found.append(max(map(separable, _run(searcher, separable, range(40)))))
    assert statistics.mean(found) > mean_best("random", num_trials=40) + 0.2


@pytest.mark.parametrize("options", [{"num_members": 1}, {"width": 0}, {"num_steps": 0}, {"retrain_every": 0}])
def test_numbers_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="expected at least 2 members"):
        BananasSearcher(**options)
