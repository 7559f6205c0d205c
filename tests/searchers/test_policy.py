"""Policies: probabilities that add up, samples that follow them, entropies, conditions, sets of inputs."""

import math
from collections import Counter
from itertools import combinations
from typing import Any

import pytest
import torch
from raynas_searchers.policy import Policy, from_hex, to_hex
from raynas_searchers.reinforce import TablePolicy

from raynas.space import Architecture, SearchSpace
from raynas.testing import example_spaces

SMALL = [space for space in example_spaces() if space.size <= 300]
MIXED = SearchSpace(
    {
        "width": {"_type": "choice", "_value": [8, 16], "_when": {"cell": [1, 2]}},  # before its parent
        "cell": {"_type": "layer_choice", "_value": ["plain", "branch", "mixed"]},
        "any": {"_type": "input_choice", "_value": {"candidates": ["x", "y"], "n_chosen": None}, "_when": {"cell": [2]}},
        "pair": {"_type": "input_choice", "_value": {"candidates": ["a", "b", "c", "d"], "n_chosen": 2}},
    }
)


def _inputs(num_candidates: int, n_chosen: int | None) -> SearchSpace:
    candidates = [str(index) for index in range(num_candidates)]
    return SearchSpace({"in": {"_type": "input_choice", "_value": {"candidates": candidates, "n_chosen": n_chosen}}})


def _policy(space: SearchSpace, scale: float = 1.0) -> TablePolicy:
    policy = TablePolicy(space)
    with torch.no_grad():
        policy.table.copy_(scale * torch.randn(policy.table.shape, generator=torch.Generator().manual_seed(0)))
    return policy


def _probabilities(policy: Policy) -> dict[Architecture, float]:
    every = list(policy.space.enumerate())
    log_probs, _ = policy.log_prob_and_entropy(policy.encode(every))
    return dict(zip(every, log_probs.sum(1).exp().tolist(), strict=True))


@pytest.mark.parametrize("space", SMALL, ids=repr)
def test_the_probabilities_of_all_architectures_add_up_to_one(space: SearchSpace) -> None:
    assert sum(_probabilities(_policy(space)).values()) == pytest.approx(1, abs=1e-4)


def test_samples_follow_the_probabilities() -> None:
    policy = _policy(MIXED)
    drawn = Counter(policy.decode(policy.sample(20_000, torch.Generator().manual_seed(0))))
    probabilities = _probabilities(policy)
    assert set(drawn) <= set(probabilities)
    for architecture, probability in probabilities.items():
        margin = 5 * math.sqrt(probability * (1 - probability) / 20_000) + 1e-3
        assert drawn[architecture] / 20_000 == pytest.approx(probability, abs=margin), architecture


@pytest.mark.parametrize("space", SMALL, ids=repr)
def test_the_entropies_average_to_that_of_the_policy(space: SearchSpace) -> None:
    policy = _policy(space)
    probabilities = _probabilities(policy)
    _, entropies = policy.log_prob_and_entropy(policy.encode(list(probabilities)))
    mean = sum(p * entropy for p, entropy in zip(probabilities.values(), entropies.sum(1).tolist(), strict=True))
    assert mean == pytest.approx(-sum(p * math.log(p) for p in probabilities.values() if p > 0), abs=1e-3)


@pytest.mark.parametrize("space", example_spaces(), ids=repr)
def test_what_is_sampled_is_valid_and_is_read_back(space: SearchSpace) -> None:
    policy = _policy(space)
    picks = policy.sample(20, torch.Generator().manual_seed(1))
    architectures = list(policy.decode(picks))
    assert all(list(space.validate(found.to_dict())) == list(found) for found in architectures)
    assert torch.equal(policy.encode([found.to_dict() for found in architectures]), picks)
    assert torch.isfinite(policy.log_prob_and_entropy(picks)[0]).all()


@pytest.mark.parametrize(("num_candidates", "n_chosen"), [(5, 2), (6, 3), (4, 4), (3, 0), (4, 1)])
def test_logits_of_zero_make_all_sets_of_a_size_equally_likely(num_candidates: int, n_chosen: int) -> None:
    space = _inputs(num_candidates, n_chosen)
    assert list(_probabilities(TablePolicy(space)).values()) == pytest.approx([1 / space.size] * space.size)


def test_one_of_a_fixed_number_is_taken_with_the_odds_of_those_that_remain() -> None:
    policy = _policy(_inputs(4, 2))
    weights = policy.table.exp().tolist()

    def probability(chosen: tuple[int, ...]) -> float:
        product, left = 1.0, 2
        for index, weight in enumerate(weights):
            against = 4 - index - left
            product *= (weight * left if index in chosen else against) / (weight * left + against)
            left -= index in chosen
        return product

    found = {architecture.indices["in"]: p for architecture, p in _probabilities(policy).items()}
    assert found == pytest.approx({chosen: probability(chosen) for chosen in combinations(range(4), 2)}, abs=1e-5)


def test_a_million_sets_need_no_more_logits_than_inputs() -> None:
    policy = _policy(_inputs(20, None))
    assert policy.table.shape == (20,)
    picks = policy.sample(2_000, torch.Generator().manual_seed(0))
    assert picks.mean(0).tolist() == pytest.approx(policy.table.sigmoid().tolist(), abs=0.06)
    expected = (picks * policy.table.sigmoid() + (1 - picks) * (1 - policy.table.sigmoid())).log().sum(1)
    assert torch.allclose(policy.log_prob_and_entropy(picks)[0][:, 0], expected, atol=1e-4)


def test_a_key_that_is_not_active_counts_nothing() -> None:
    policy = _policy(MIXED)
    assert policy.keys == ["cell", "width", "any", "pair"]
    choices: dict[str, Any] = {"cell": {"_idx": 0}, "pair": {"_idx": [0, 3]}}
    log_probs, entropies = policy.log_prob_and_entropy(policy.encode([choices]))
    assert policy.active(policy.encode([choices])).tolist() == [[True, False, False, True]]
    assert log_probs[0, 1:3].tolist() == entropies[0, 1:3].tolist() == [0, 0]
    (gradient,) = torch.autograd.grad(log_probs.sum(), [policy.table])
    assert gradient[policy.slices[1]].tolist() == gradient[policy.slices[2]].tolist()[:2] == [0, 0]


def test_what_leads_to_more_architectures_starts_likelier_but_not_without_limit() -> None:
    document = MIXED.to_dict()
    document["block"] = {"_type": "choice", "_value": list(range(50)), "_when": {"cell": [2], "width": [1]}}
    document["width"]["_when"] = {"cell": [2]}  # of cells: one way, one way, and (1 + 50) * 4
    document["any"]["_when"] = {"cell": [2]}
    space = SearchSpace(document)
    policy = TablePolicy(space)
    log_probs, _ = policy.log_prob_and_entropy(policy.encode(list(space.enumerate())))
    cells = {found.indices["cell"]: row[0].exp().item() for found, row in zip(space.enumerate(), log_probs, strict=True)}
    assert cells[(2,)] / cells[(0,)] == cells[(2,)] / cells[(1,)] == pytest.approx(math.exp(2))
    fewer = TablePolicy(MIXED)
    picks = [{"cell": {"_idx": index}, "pair": {"_idx": [0, 1]}} for index in range(3)]
    picks[1]["width"] = picks[2]["width"] = {"_idx": 0}
    picks[2]["any"] = {"_idx": []}
    plain, branch, mixed = fewer.log_prob_and_entropy(fewer.encode(picks))[0][:, 0].exp().tolist()
    assert mixed / branch == pytest.approx(4)  # eight ways to two
    assert mixed / plain == pytest.approx(math.exp(2))  # eight to one


def test_one_seed_gives_the_same_samples_whatever_the_global_generator_does() -> None:
    policy, drawn = _policy(MIXED), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        drawn.append(policy.sample(50, torch.Generator().manual_seed(3)))
    assert torch.equal(*drawn)


@pytest.mark.parametrize("scale", [100.0, 1e4])
def test_extreme_logits_neither_overflow_nor_break_the_rules(scale: float) -> None:
    for space in (MIXED, _inputs(6, 3), _inputs(6, None)):
        policy = _policy(space, scale)
        picks = policy.sample(30, torch.Generator().manual_seed(0))
        assert all(space.contains(found.to_dict()) for found in policy.decode(picks))
        log_probs, entropies = policy.log_prob_and_entropy(picks)
        (gradient,) = torch.autograd.grad((log_probs + entropies).sum(), [policy.table])
        assert torch.isfinite(log_probs).all()
        assert torch.isfinite(gradient).all()


def test_numbers_are_the_same_to_the_last_bit_after_hexadecimal() -> None:
    values = torch.tensor([[0.1, -0.0, 1e-45], [math.inf, 3.4e38, 1 / 3]])
    text = to_hex(values)
    assert len(text) == 8 * 6
    back = from_hex(text).view(2, 3)
    assert torch.equal(back, values)
    assert math.copysign(1, back[0, 1]) == -1
