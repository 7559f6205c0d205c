"""Gaussian process regression: distances key by key, the gradient of the fit, predictions."""

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from raynas_searchers.gp_regression import MIN_NOISE, GaussianProcess, HammingEmbedding

from raynas.space import SearchSpace
from raynas.testing import example_spaces, search_spaces


def _distance(space: SearchSpace, first: dict[str, Any], second: dict[str, Any]) -> float:
    one, other = HammingEmbedding(space)([space.validate(first), space.validate(second)])
    return float(((one - other) ** 2).sum())


def _of_one_key(kind: str, value: Any, first: Any, second: Any) -> float:
    space = SearchSpace({"key": {"_type": kind, "_value": value}})
    return _distance(space, {"key": {"_idx": first}}, {"key": {"_idx": second}})


def test_operators_and_names_are_equal_or_not() -> None:
    for kind, value in (("layer_choice", ["a", "b", "c"]), ("choice", ["a", "b", "c"]), ("choice", [1, 2])):
        assert _of_one_key(kind, value, 0, 1) == pytest.approx(1)
        assert _of_one_key(kind, value, 1, 1) == 0


def test_numbers_that_are_near_in_rank_are_nearer() -> None:
    found = [_of_one_key("choice", [64, 8, 16, 1000], 1, index) for index in range(4)]  # ranks 2, 0, 1, 3
    assert found == pytest.approx([0.5 + 0.5 * 2 / 3, 0, 0.5 + 0.5 / 3, 1])


def test_inputs_differ_by_their_share() -> None:
    any_number = {"candidates": ["x", "y", "z", "w"], "n_chosen": None}
    assert _of_one_key("input_choice", any_number, [0, 1], [1, 2, 3]) == pytest.approx(3 / 4)
    assert _of_one_key("input_choice", any_number, [], [0, 1, 2, 3]) == pytest.approx(1)
    three = {"candidates": ["x", "y", "z", "w"], "n_chosen": 3}  # of two such no more than one input differs
    assert _of_one_key("input_choice", three, [0, 1, 2], [1, 2, 3]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("kind", "value", "index"),
    [
        ("layer_choice", ["a", "b"], 1),
        ("choice", [1, 2, 3, 4], 2),
        ("input_choice", {"candidates": ["x", "y", "z"], "n_chosen": None}, [0]),
        ("input_choice", {"candidates": [str(i) for i in range(40)], "n_chosen": 2}, [3, 30]),
    ],
)
def test_an_inactive_key_is_one_away_from_an_active_one(kind: str, value: Any, index: Any) -> None:
    child = {"_type": kind, "_value": value, "_when": {"op": [0]}}
    space = SearchSpace({"op": {"_type": "layer_choice", "_value": ["a", "b", "c"]}, "child": child})
    active, inactive = {"op": {"_idx": 0}, "child": {"_idx": index}}, {"op": {"_idx": 1}}
    assert _distance(space, active, inactive) == pytest.approx(2)
    assert _distance(space, inactive, {"op": {"_idx": 2}}) == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(search_spaces())
def test_what_a_key_adds_is_at_most_one(space: SearchSpace) -> None:
    embed, rng = HammingEmbedding(space), Random(0)
    drawn = [space.sample(rng) for _ in range(6)]
    embedded = embed(drawn)
    squares = (embedded[:, None] - embedded[None]) ** 2
    for key in range(max(embed.owners, default=-1) + 1):
        assert squares[..., embed.owners == key].sum(-1).max() <= 1 + 1e-9
    equal = np.array([[one == other for one in drawn] for other in drawn])
    assert ((squares.sum(-1) < 1e-9) == equal).all()


def _process(space: SearchSpace, num_known: int) -> tuple[GaussianProcess, Any, Any]:
    embed, rng = HammingEmbedding(space), Random(1)
    known = embed([space.sample(rng) for _ in range(num_known)])
    return GaussianProcess(embed.owners), known, np.random.default_rng(0).normal(size=num_known)


@pytest.mark.parametrize("number", [3, 7, 11, 20])
def test_the_gradient_is_that_of_the_loss(number: int) -> None:
    process, known, targets = _process(example_spaces()[number], 15)
    at = process.parameters.copy()
    gradient = process.loss_and_gradient(known, targets)[1]
    for index in range(len(at)):
        losses = []
        for move in (1e-5, -1e-5):
            process.parameters = at + move * (np.arange(len(at)) == index)
            losses.append(process.loss_and_gradient(known, targets)[0])
        assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(gradient[index], abs=1e-5)


def test_fitting_finds_the_key_that_matters(space: SearchSpace) -> None:
    process, known, _ = _process(space, 80)
    targets = known[:, :3] @ np.array([2.0, 0.0, -2.0])
    before = process.loss_and_gradient(known, targets)[0]
    process.fit(known, targets, 30)
    assert process.loss_and_gradient(known, targets)[0] < before
    weights = process.parameters[:-1]
    assert weights[0] > max(weights[1:]) + 1


def test_the_loss_is_the_marginal_likelihood() -> None:
    """Of one parameter: the difference of two losses is that of the densities, integrated over the signal's variance."""
    process, known, targets = _process(SearchSpace({"a": {"_type": "choice", "_value": ["x", "y"]}}), 6)
    process.parameters = process._prior.copy()
    losses, densities = [], []
    for log_noise in (-3.0, -1.0):
        process.parameters[-1] = log_noise
        prior = 0.5 * (log_noise + 3) ** 2
        losses.append(process.loss_and_gradient(known, targets)[0] - prior)
        covariance = process._noisy(known)
        square = targets @ np.linalg.solve(covariance, targets)
        densities.append(0.5 * np.linalg.slogdet(covariance)[1] + 0.5 * (len(targets) + 2) * np.log(square + 2))
    assert losses[0] - losses[1] == pytest.approx(densities[0] - densities[1])


def test_a_prediction_of_two_points_is_what_algebra_says() -> None:
    space = SearchSpace({"op": {"_type": "layer_choice", "_value": ["a", "b"]}})
    process, embed = GaussianProcess(np.array([0, 0, 0])), HammingEmbedding(space)
    process.parameters = np.array([np.log(0.7), np.log(0.1)])
    first, second = embed([space.unrank(0)]), embed([space.unrank(1)])
    mean, deviation, best = process.predict(first, np.array([1.5]), second, first[:0])
    correlation, noisy = np.exp(-0.7), 1.1 + MIN_NOISE
    assert mean[0] == pytest.approx(correlation / noisy * 1.5)
    assert best == pytest.approx(1.5 / noisy)
    variance = (1.5**2 / noisy + 2) / 3
    assert deviation[0] == pytest.approx(np.sqrt(variance * (1 - correlation**2 / noisy)))


def test_what_runs_makes_it_surer_and_expects_the_same(space: SearchSpace) -> None:
    process, known, targets = _process(space, 30)
    asked, running = known[20:], known[20:23]
    mean, deviation, best = process.predict(known[:20], targets[:20], asked, running[:0])
    with_running = process.predict(known[:20], targets[:20], asked, running)
    assert with_running[0] == pytest.approx(mean)
    assert with_running[2] == best
    assert (with_running[1] <= deviation + 1e-12).all()
    assert (with_running[1][:3] < 0.5 * deviation[:3]).all()


def test_equal_targets_leave_it_where_it_is(space: SearchSpace) -> None:
    process, known, _ = _process(space, 20)
    process.fit(known, np.zeros(20), 5)
    mean, deviation, _ = process.predict(known, np.zeros(20), known, known[:0])
    assert (mean == 0).all()
    assert np.isfinite(deviation).all()
