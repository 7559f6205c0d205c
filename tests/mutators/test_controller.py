"""``ControllerMutator``: it draws by the odds that it states, skips what is not active, and is continued exactly."""

import itertools
import math
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from raynas.mutators import ControllerMutator, Draws
from raynas.nn import InputChoice, LayerChoice, Repeat, ValueChoice

Found = dict[str, float]


class Every(nn.Module):
    """Every kind of mutable: a nested one, a depth, names, two of three inputs, any of two, none of two."""

    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice([nn.Identity(), LayerChoice([nn.Tanh(), nn.ReLU()], key="inner")], key="op")
        self.body = Repeat(lambda index: LayerChoice([nn.Tanh(), nn.ReLU()], key=f"block{index}"), depth=(0, 1), key="depth")
        self.two = InputChoice(n_candidates=3, n_chosen=2, key="two")
        self.some = InputChoice(n_candidates=2, n_chosen=None, key="some")
        self.none = InputChoice(n_candidates=2, n_chosen=0, key="none")
        self.name = ValueChoice(["a", "b"], key="name")


def make(**options: float) -> ControllerMutator:
    """One whose odds are far from even."""
    mutator = ControllerMutator(Every(), seed=1, hidden_size=8, **options)
    for parameter in mutator.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(parameter.numel()))
    return mutator


def all_draws(mutator: ControllerMutator) -> Draws:
    """All that can be drawn, in every order, by hand: op, depth, two (twice), some (twice), name, inner, block0."""
    assert mutator.num_draws == 9
    rows = []
    ordered = list(itertools.permutations(range(3), 2))
    for op, depth, two, *rest in itertools.product((0, 1), (0, 1), ordered, (0, 1), (0, 1), (0, 1)):
        inner, block = ((0, 1) if op == 1 else (-1,)), ((0, 1) if depth == 1 else (-1,))
        rows += [[op, depth, *two, *rest, *below] for below in itertools.product(inner, block)]
    return torch.tensor(rows)


@pytest.fixture(scope="module")
def mutator() -> ControllerMutator:
    return make()


@pytest.fixture(scope="module")
def odds(mutator: ControllerMutator) -> Found:
    """Of each architecture: the sum over the orders in which its inputs can be drawn."""
    draws, found = all_draws(mutator), dict[str, float]()
    chances = mutator.log_prob_and_entropy(draws)[0].exp().tolist()
    for architecture, chance in zip(mutator.architectures(draws), chances, strict=True):
        found[architecture.digest] = found.get(architecture.digest, 0.0) + chance
    return found


def test_the_probabilities_of_all_architectures_sum_to_1(mutator: ControllerMutator, odds: Found) -> None:
    assert odds.keys() == {architecture.digest for architecture in mutator.space.enumerate()}
    assert math.isclose(sum(odds.values()), 1, rel_tol=1e-12)
    assert max(odds.values()) > 20 * min(odds.values())  # far from even, or the next test would say little


def test_architectures_are_drawn_as_often_as_stated(mutator: ControllerMutator, odds: Found) -> None:
    count = 20_000
    seen = Counter(architecture.digest for architecture in mutator.architectures(mutator.draw(count)))
    assert seen.keys() <= odds.keys()
    likely = {digest: chance for digest, chance in odds.items() if chance * count > 10}
    errors = [(seen[digest] - chance * count) / math.sqrt(chance * count) for digest, chance in likely.items()]
    assert len(likely) > 50
    assert sum(error**2 for error in errors) / len(errors) < 1.5  # chi-square, 1 expected
    assert sum(likely.values()) > 0.9


def test_the_entropies_on_the_way_have_the_entropy_of_all_as_their_mean(mutator: ControllerMutator) -> None:
    log_probs, entropies = mutator.log_prob_and_entropy(all_draws(mutator))
    expected = -(log_probs.exp() * log_probs).sum()
    assert abs(float(((log_probs.exp() * entropies).sum() / expected - 1).detach())) < 1e-12


def test_no_input_is_drawn_twice_and_what_is_not_active_is_marked(mutator: ControllerMutator) -> None:
    draws = mutator.draw(300)
    assert (draws[:, 2] != draws[:, 3]).all()
    assert torch.equal(draws[:, 7] == -1, draws[:, 0] == 0)
    assert torch.equal(draws[:, 8] == -1, draws[:, 1] == 0)
    assert all(mutator.space.contains(architecture) for architecture in mutator.architectures(draws))


def test_what_is_not_active_has_no_part_in_probability_and_gradient() -> None:
    mutator = make()
    inner = mutator.heads[list(mutator.space).index("inner")]
    outside, inside = torch.tensor([[0, 0, 0, 1, 0, 0, 0, -1, -1]]), torch.tensor([[1, 0, 0, 1, 0, 0, 0, 1, -1]])
    for draws, is_active in ((outside, False), (inside, True)):
        mutator.zero_grad()
        log_prob, entropy = mutator.log_prob_and_entropy(draws)
        (log_prob + entropy).sum().backward()
        assert bool(inner.weight.grad.any()) is is_active


def test_export_takes_what_is_likeliest_after_what_was_drawn_before_and_draws_nothing(mutator: ControllerMutator) -> None:
    before = mutator.get_extra_state()
    exported = mutator.export_architecture()
    assert mutator.get_extra_state() == before
    draws, all_of_them = mutator.likeliest(), all_draws(mutator)
    assert mutator.architectures(draws) == [exported]
    chances = mutator.log_prob_and_entropy(all_of_them)[0].detach().exp()
    for number in range(mutator.num_draws):  # by hand, from the probabilities of whole architectures
        alike = (all_of_them[:, :number] == draws[:, :number]).all(1)
        sums = {result: float(chances[alike & (all_of_them[:, number] == result)].sum()) for result in (-1, 0, 1, 2)}
        assert max(sums, key=sums.__getitem__) == int(draws[0, number])


def test_probabilities_are_those_after_what_is_likeliest_and_nothing_is_drawn(mutator: ControllerMutator) -> None:
    before = mutator.get_extra_state()
    found = mutator.probabilities()
    assert mutator.get_extra_state() == before
    draws, everything = mutator.likeliest(), all_draws(mutator)
    chances = mutator.log_prob_and_entropy(everything)[0].detach().exp()

    def chance(number: int, result: int) -> float:
        alike = (everything[:, :number] == draws[:, :number]).all(1)
        return float(chances[alike & (everything[:, number] == result)].sum() / chances[alike].sum())

    expected = {
        "op": [chance(0, 0), chance(0, 1)],
        "depth": [chance(1, 0), chance(1, 1)],
        "two": [(chance(2, result) + chance(3, result)) / 2 for result in range(3)],
        "some": [chance(4, 1), chance(5, 1)],
        "name": [chance(6, 0), chance(6, 1)],
        "inner": [chance(7, 0), chance(7, 1)],
        "block0": [chance(8, 0), chance(8, 1)],
    }
    assert found.keys() == set(mutator.export_architecture()) - {"none"}  # a key of which nothing is drawn
    for key, each in found.items():
        assert not each.requires_grad
        assert each.tolist() == pytest.approx(expected[key], rel=1e-9)


def test_odds_are_nearly_even_at_the_start_and_bounded_for_good() -> None:
    bounds = {0.1: ControllerMutator(Every(), seed=0), 0.2: make(tanh_constant=0.1, temperature=1e-3)}
    for bound, mutator in bounds.items():  # two logits of one draw differ by this much at most
        draws = mutator.likeliest()
        chance = float(mutator.log_prob_and_entropy(draws)[0].detach().exp())
        num_halves = 5 + int((draws[0, 7:] >= 0).sum())
        even = 0.5**num_halves / 6
        most = (1 + math.exp(-bound)) ** -num_halves / (1 + 2 * math.exp(-bound)) / (1 + math.exp(-bound))
        assert even < chance < most * (1 + 1e-9)
    assert chance > even * 1.3  # a logit is nearly at its bound


def test_equal_seeds_draw_alike_and_no_global_generator_moves() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, again, other = (ControllerMutator(Every(), seed=seed, hidden_size=4) for seed in (3, 3, 4))
    assert torch.equal(one.draw(20), again.draw(20))
    assert not torch.equal(one.draw(20), other.draw(20))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_state_continues_the_very_same_sequence(tmp_path: Path) -> None:
    mutator = make()
    mutator.draw(7)
    torch.save(mutator.state_dict(), tmp_path / "mutator.pt")
    other = ControllerMutator(Every(), seed=9, hidden_size=8)
    other.load_state_dict(torch.load(tmp_path / "mutator.pt", weights_only=True))
    assert torch.equal(other.draw(30), mutator.draw(30))


def test_reset_applies_what_it_draws(net: nn.Module, x: Tensor) -> None:
    mutator, twin = ControllerMutator(net, seed=2), ControllerMutator(type(net)(), seed=2)
    seen = set()
    for _ in range(8):
        mutator.reset()
        applied = mutator.applied_architecture()
        assert [applied] == twin.architectures(twin.draw(1))
        assert net(x).shape == x.shape
        seen.add(applied.digest)
    assert len(seen) > 3
