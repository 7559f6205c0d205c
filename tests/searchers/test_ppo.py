"""PPO: the contract, the clipped surrogate, the recurrent policy, late results, what it finds."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
from raynas_searchers.policy import Policy
from raynas_searchers.policy_gradient import Told
from raynas_searchers.ppo import PpoSearcher, RecurrentPolicy, clipped_surrogate

from raynas.errors import OptionError
from raynas.explore import Searcher, make_searcher
from raynas.space import Architecture, SearchSpace
from raynas.testing import SearcherContract, example_spaces

SMALL = [space for space in example_spaces() if space.size <= 100]
PAIR = SearchSpace({key: {"_type": "layer_choice", "_value": ["a", "b"]} for key in ("first", "between", "second")})


class TestContract(SearcherContract):
    predictor = True

    def make_searcher(self, seed: int) -> PpoSearcher:
        return PpoSearcher(seed=seed, batch_size=4, num_epochs=2)


def _policy(space: SearchSpace, scale: float = 1.0) -> RecurrentPolicy:
    """One whose keys depend on each other."""
    generator = torch.Generator().manual_seed(0)
    policy = RecurrentPolicy(space, 8, generator)
    with torch.no_grad():
        for values in (policy.weight, policy.bias):
            values.copy_(scale * torch.randn(values.shape, generator=generator))
    return policy


def _searcher(space: SearchSpace, **options: Any) -> PpoSearcher:
    searcher = PpoSearcher(**options)
    searcher.update_search_space(space)
    return searcher


# --- equation 7 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [
        (1.0, 2.0, 2.0, 2.0),
        (1.1, 2.0, 2.2, 2.0),
        (1.5, 2.0, 2.4, 0.0),  # no more is to be had by making what was good still likelier
        (0.5, 2.0, 1.0, 2.0),
        (1.5, -2.0, -3.0, -2.0),  # what was bad and has become likelier is undone
        (0.9, -2.0, -1.8, -2.0),
        (0.5, -2.0, -1.6, 0.0),
    ],
)
def test_the_surrogate_is_clipped_where_nothing_is_to_be_gained(
    ratio: float, advantage: float, value: float, slope: float
) -> None:
    at = torch.tensor(ratio, requires_grad=True)
    surrogate = clipped_surrogate(at, torch.tensor(advantage), 0.2)
    (gradient,) = torch.autograd.grad(surrogate, at)
    assert surrogate.item() == pytest.approx(value)
    assert gradient.item() == pytest.approx(slope)


def _told(searcher: PpoSearcher, architectures: list[Architecture], log_probs: bool = True) -> list[Told]:
    with torch.no_grad():
        then, _ = searcher.policy.log_prob_and_entropy(searcher.policy.encode(architectures))
    rows = then.tolist() if log_probs else [None] * len(architectures)
    return [Told(architecture, 0.0, row) for architecture, row in zip(architectures, rows, strict=True)]


def _log_probs(policy: Policy, architectures: list[Architecture]) -> torch.Tensor:
    with torch.no_grad():
        return policy.log_prob_and_entropy(policy.encode(architectures))[0]


def test_the_first_step_follows_the_policy_gradient(space: SearchSpace) -> None:
    searcher, rng = _searcher(space, num_epochs=1, entropy_weight=0.0, learning_rate=1e-3), Random(0)
    architectures = [space.sample(rng) for _ in range(4)]
    told, advantages = _told(searcher, architectures), torch.tensor([1.0, -0.5, 0.3, 0.1])
    log_probs, _ = searcher.policy.log_prob_and_entropy(searcher.policy.encode(architectures))
    parameters = [values for values in searcher.policy.parameters() if values.shape[0] == 24]
    expected = torch.autograd.grad((advantages * log_probs.sum(1)).mean(), parameters, allow_unused=True)
    before = [values.detach().clone() for values in parameters]
    searcher.learn(told, advantages)
    checked = 0
    for values, old, gradient in zip(parameters, before, expected, strict=True):
        sure = gradient.abs() > 1e-4
        assert torch.equal((values.detach() - old).sign()[sure], gradient.sign()[sure])  # Adam's first step: all of one length
        checked += int(sure.sum())
    assert checked > 100


def test_many_epochs_leave_the_ratios_near_the_clip_range(space: SearchSpace) -> None:
    searcher, rng = _searcher(space, num_epochs=60, entropy_weight=0.0, learning_rate=3e-3, clip_range=0.1), Random(0)
    free = _searcher(space, num_epochs=60, entropy_weight=0.0, learning_rate=3e-3, clip_range=100.0)
    architectures = [space.sample(rng) for _ in range(4)]
    told, advantages = _told(searcher, architectures), torch.tensor([1.0, -1.0, 0.5, -0.5])
    then = _log_probs(searcher.policy, architectures)
    moved = []
    for each in (searcher, free):
        each.learn(told, advantages)
        moved.append((_log_probs(each.policy, architectures) - then).exp())
    clipped, unclipped = moved
    assert clipped[0].min() > 1 > clipped[1].max()
    assert (clipped - 1).abs().mean() < 0.4  # the steps go on for a while, as other choices share the weights
    assert (unclipped - 1).abs().mean() > 1


def test_late_results_are_compared_with_the_policy_that_proposed_them(space: SearchSpace) -> None:
    searcher = _searcher(space, batch_size=2, num_epochs=1, entropy_weight=0.0, clip_range=0.2)
    proposed = [searcher.generate_parameters(number) for number in range(2)]
    assert isinstance(searcher.policy, RecurrentPolicy)
    with torch.no_grad():  # meanwhile the better one has become much likelier, and the other much rarer
        searcher.policy.bias += 2 * (searcher.policy.encode([proposed[1]]) - searcher.policy.encode([proposed[0]]))[0]
    same = [proposed[0].indices[key] == proposed[1].indices[key] for key in space]
    before = {name: values.clone() for name, values in searcher.policy.state_dict().items()}
    for number in range(2):
        searcher.receive_trial_result(number, proposed[number], float(number))
    moved = (searcher.policy.bias.detach() - before["bias"]).view(8, 3).abs().amax(1)
    assert not all(same)
    assert all(step == 0 for step, equal in zip(moved.tolist(), same, strict=True) if not equal)  # beyond the clip range


def test_what_is_imported_starts_at_a_ratio_of_one(space: SearchSpace) -> None:
    first, second = (_searcher(space, num_epochs=3) for _ in range(2))
    rng = Random(0)
    architectures = [space.sample(rng) for _ in range(4)]
    advantages = torch.tensor([1.0, -1.0, 0.5, -0.5])
    first.learn(_told(first, architectures), advantages)
    second.learn(_told(second, architectures, log_probs=False), advantages)
    assert first.state_dict()["policy"] == second.state_dict()["policy"]


# --- the policy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SMALL, ids=repr)
def test_the_probabilities_of_all_architectures_add_up_to_one(space: SearchSpace) -> None:
    log_probs = _log_probs(_policy(space), list(space.enumerate()))
    assert log_probs.sum(1).exp().sum().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("space", example_spaces()[3:13], ids=repr)
def test_sampling_uses_the_logits_that_learning_uses(space: SearchSpace) -> None:
    policy = _policy(space)
    picks, state = policy.sample(5, torch.Generator().manual_seed(0)), None
    with torch.no_grad():
        together = policy.logits(picks)
        for number, where in enumerate(policy.slices):
            alone, state = policy.next_logits(number, picks, state)
            assert torch.allclose(alone, together[:, where], atol=1e-5)


def test_a_key_depends_on_the_keys_before_it_and_on_no_other(space: SearchSpace) -> None:
    policy = _policy(space)
    picks = policy.sample(2, torch.Generator().manual_seed(0))[:1].repeat(2, 1)
    picks[1, policy.slices[3]] = picks[0, policy.slices[3]].roll(1)
    with torch.no_grad():
        one, other = policy.logits(picks)
    assert torch.equal(one[: policy.slices[4].start], other[: policy.slices[4].start])
    assert all(not torch.allclose(one[where], other[where]) for where in policy.slices[4:])


def test_every_choice_is_equally_likely_at_first(space: SearchSpace) -> None:
    policy = _searcher(space).policy
    assert not policy.logits(policy.sample(3, torch.Generator().manual_seed(0))).any()


def test_it_learns_that_two_keys_belong_together() -> None:
    policy = _searcher(PAIR).policy
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
    every = list(PAIR.enumerate())
    picks, equal = policy.encode(every), [found.indices["first"] == found.indices["second"] for found in every]
    for _ in range(60):
        optimizer.zero_grad()
        (-policy.log_prob_and_entropy(picks[equal])[0].sum(1).mean()).backward()
        optimizer.step()
    probabilities = _log_probs(policy, every).sum(1).exp()
    assert probabilities[equal].tolist() == pytest.approx([0.25] * 4, abs=0.05)


def test_the_global_generator_of_torch_is_neither_used_nor_heeded(space: SearchSpace) -> None:
    proposed = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        searcher = _searcher(space, seed=5, batch_size=2)
        for number in range(6):
            architecture = searcher.generate_parameters(number)
            searcher.receive_trial_result(number, architecture, float(number % 3))
            proposed.append(architecture)
        assert torch.equal(torch.get_rng_state(), before)
    assert proposed[:6] == proposed[6:]


# --- what it finds ---------------------------------------------------------------------------------------------------


def _search(searcher: Searcher, space: SearchSpace, value: Callable[[Architecture], float], num_trials: int) -> float:
    searcher.update_search_space(space)
    found = []
    for number in range(num_trials):
        architecture = searcher.generate_parameters(number)
        assert isinstance(architecture, Architecture)
        found.append(value(architecture))
        searcher.receive_trial_result(number, architecture, found[-1])
        searcher.trial_end(number, True)
    return max(found)


@pytest.mark.nightly
def test_it_beats_random_search(space: SearchSpace, separable: Callable[[Architecture], float]) -> None:
    learned = sum(_search(PpoSearcher(seed=seed), space, separable, 80) for seed in range(3)) / 3
    drawn = sum(_search(make_searcher("random", {"seed": seed}), space, separable, 80) for seed in range(20)) / 20
    assert learned > drawn + 0.3


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 0}, {"num_epochs": 0}, {"clip_range": 0.0}, {"learning_rate": 0.0}],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="expected"):
        PpoSearcher(**options)
