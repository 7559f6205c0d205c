"""REINFORCE: the contract, the rule, its baseline and entropy, results that come late, what it finds."""

import math
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
from raynas_searchers.reinforce import ReinforceSearcher, TablePolicy

from raynas.errors import OptionError
from raynas.explore import Searcher, make_searcher
from raynas.space import Architecture, SearchSpace
from raynas.testing import SearcherContract

CELLS = SearchSpace(
    {
        "op": {"_type": "layer_choice", "_value": ["conv", "pool"]},
        "width": {"_type": "choice", "_value": [8, 16, 24], "_when": {"op": [0]}},
        "many": {"_type": "input_choice", "_value": {"candidates": [str(i) for i in range(20)], "n_chosen": None}},
        "four": {"_type": "input_choice", "_value": {"candidates": [str(i) for i in range(12)], "n_chosen": 4}},
    }
)


class TestContract(SearcherContract):
    predictor = True
    proposals_per_space = 8

    def make_searcher(self, seed: int) -> ReinforceSearcher:
        return ReinforceSearcher(seed=seed)


def _searcher(space: SearchSpace, **options: Any) -> tuple[ReinforceSearcher, torch.Tensor]:
    searcher = ReinforceSearcher(**options)
    searcher.update_search_space(space)
    assert isinstance(searcher.policy, TablePolicy)
    return searcher, searcher.policy.table.data


def _search(searcher: Searcher, space: SearchSpace, value: Callable[[Architecture], float], num_trials: int = 80) -> float:
    """The best value found."""
    searcher.update_search_space(space)
    found = []
    for number in range(num_trials):
        architecture = searcher.generate_parameters(number)
        assert isinstance(architecture, Architecture)
        found.append(value(architecture))
        searcher.receive_trial_result(number, architecture, found[-1])
        searcher.trial_end(number, True)
    return max(found)


def test_a_result_moves_the_logits_by_the_gradient_of_the_log_probability(space: SearchSpace) -> None:
    searcher, table = _searcher(space, learning_rate=0.3, entropy_weight=0.0)
    first, second = (searcher.generate_parameters(number) for number in range(2))
    searcher.receive_trial_result(0, first, 1.0)
    assert table.tolist() == [0.0] * 24  # the only result is in the middle: no advantage
    searcher.receive_trial_result(1, second, 2.0)
    picks = torch.tensor(space.encode(second))
    advantage = math.sqrt(3) * (2 * 0.75 - 1)
    assert torch.allclose(table, 0.3 * advantage * (picks - 1 / 3), atol=1e-6)


def test_a_result_below_the_baseline_makes_its_choices_rarer(space: SearchSpace) -> None:
    searcher, table = _searcher(space, entropy_weight=0.0)
    for number, value in enumerate((3.0, 4.0, 5.0, 1.0)):
        before = table.clone()
        architecture = searcher.generate_parameters(number)
        searcher.receive_trial_result(number, architecture, value)
    picked = torch.tensor(space.encode(architecture)) > 0
    assert (table - before)[picked].max() < 0 < (table - before)[~picked].min()


def test_the_entropy_term_pulls_towards_uniform_choices(space: SearchSpace) -> None:
    searcher, table = _searcher(space, learning_rate=0.1, entropy_weight=0.5)
    table += torch.tensor([1.0, 0.0, 0.0] * 8)
    architecture = searcher.generate_parameters(0)
    searcher.receive_trial_result(0, architecture, 1.0)  # no advantage
    log_p = torch.tensor([1.0, 0.0, 0.0]).log_softmax(0)
    entropy = -(log_p.exp() * log_p).sum()
    moved = 0.1 * 0.5 * -log_p.exp() * (log_p + entropy)
    assert torch.allclose(table, torch.tensor([1.0, 0.0, 0.0] * 8) + moved.repeat(8), atol=1e-6)


def test_a_late_result_counts_for_each_key_by_how_likely_its_pick_still_is(space: SearchSpace) -> None:
    moved = []
    for change in (0.0, -0.5, 2.0):
        searcher, table = _searcher(space, entropy_weight=0.0)
        first, second = (searcher.generate_parameters(number) for number in range(2))
        searcher.receive_trial_result(0, first, 1.0)
        picks = torch.tensor(space.encode(second))
        table += change * picks
        before = table.clone()
        searcher.receive_trial_result(1, second, 2.0)
        gradient = picks - before.view(8, 3).softmax(1).flatten()
        moved.append((table - before).abs().sum().item() / gradient.abs().sum().item())
    at_once, rarer, likelier = moved
    p = math.exp(-0.5) / (math.exp(-0.5) + 2)
    assert rarer == pytest.approx(at_once * p * 3, rel=1e-3)
    assert likelier == pytest.approx(at_once, rel=1e-4)  # never more than in full


def test_what_is_imported_counts_in_full(space: SearchSpace) -> None:
    searcher, table = _searcher(space, learning_rate=0.3, entropy_weight=0.0)
    rng = Random(0)
    first, second = space.sample(rng), space.sample(rng)
    searcher.import_data([{"parameter": first.to_dict(), "value": 1.0}, {"parameter": second.to_dict(), "value": 2.0}])
    assert torch.allclose(table, 0.3 * math.sqrt(3) / 2 * (torch.tensor(space.encode(second)) - 1 / 3), atol=1e-6)


def test_a_key_that_was_not_active_learns_nothing() -> None:
    searcher, table = _searcher(CELLS)
    table[1] = 30.0  # pool, under which there is no width
    for number in range(10):
        architecture = searcher.generate_parameters(number)
        assert "width" not in architecture
        searcher.receive_trial_result(number, architecture, float(len(architecture["many"].indices)))
    assert table[2:5].tolist() == [0, 0, 0]
    assert table[5:25].mean() > 0.1  # the more inputs the better


def test_it_finds_sets_among_a_million() -> None:
    wanted = {"many": {1, 4, 5, 11, 17}, "four": {0, 3, 7, 8}}

    def value(architecture: Architecture) -> float:
        found = {key: set(architecture[key].indices) for key in wanted}
        return -float(sum(len(found[key] ^ wanted[key]) for key in wanted)) + (architecture.indices["op"] == (1,))

    learned = sum(_search(ReinforceSearcher(seed=seed), CELLS, value, 150) for seed in range(2)) / 2
    drawn = sum(_search(make_searcher("random", {"seed": seed}), CELLS, value, 150) for seed in range(10)) / 10
    assert learned > drawn + 4


def test_it_beats_random_search(space: SearchSpace, separable: Callable[[Architecture], float]) -> None:
    learned = sum(_search(ReinforceSearcher(seed=seed), space, separable) for seed in range(4)) / 4
    drawn = sum(_search(make_searcher("random", {"seed": seed}), space, separable) for seed in range(20)) / 20
    assert learned > drawn + 0.3


@pytest.mark.parametrize("options", [{"learning_rate": -1.0}, {"entropy_weight": -0.1}, {"baseline_momentum": 1.5}])
def test_numbers_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="expected"):
        ReinforceSearcher(**options)
