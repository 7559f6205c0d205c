"""``RandomMutator``: uniform, of its own generator, and continued exactly."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from raynas.mutators import RandomMutator


def draw(mutator: RandomMutator, count: int) -> list[str]:
    return [mutator.sample_architecture().digest for _ in range(count)]


def test_equal_seeds_give_equal_sequences(net: nn.Module) -> None:
    sequences = [draw(RandomMutator(type(net)(), seed=seed), 50) for seed in (3, 3, 4)]
    assert sequences[0] == sequences[1]
    assert sequences[0] != sequences[2]


def test_reset_export_and_sampling_draw_from_one_sequence(net: nn.Module) -> None:
    expected = draw(RandomMutator(type(net)()), 4)
    mutator = RandomMutator(net)
    mutator.reset()
    applied = {key: {"_idx": list(decision.indices)} for key, decision in mutator.decisions.items()}
    for key in ("op", "in", "other"):
        if key in applied:
            applied[key]["_idx"] = applied[key]["_idx"][0]
    assert mutator.space.validate(applied).digest == expected[0]
    assert mutator.export_architecture().digest == expected[1]
    assert draw(mutator, 2) == expected[2:]


def test_export_leaves_what_is_applied(net: nn.Module, x: Tensor) -> None:
    mutator = RandomMutator(net)
    mutator.reset()
    before = net(x)
    exported = {mutator.export_architecture().digest for _ in range(20)}
    assert len(exported) > 1
    assert torch.equal(net(x), before)


def test_a_state_continues_the_very_same_sequence(net: nn.Module, tmp_path: Path) -> None:
    mutator = RandomMutator(net, seed=1)
    draw(mutator, 7)
    torch.save(mutator.state_dict(), tmp_path / "mutator.pt")
    other = RandomMutator(type(net)(), seed=2)
    other.load_state_dict(torch.load(tmp_path / "mutator.pt", weights_only=True))
    assert draw(other, 50) == draw(mutator, 50)


def test_global_generators_are_neither_read_nor_moved(net: nn.Module) -> None:
    expected = draw(RandomMutator(type(net)()), 20)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    mutator = RandomMutator(net)
    assert draw(mutator, 20) == expected
    mutator.reset()
    mutator.export()
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


def test_every_architecture_is_equally_likely(net: nn.Module) -> None:
    mutator = RandomMutator(net)
    size, draws = mutator.space.size, 12_000
    assert size == (1 + 1 + 2) * 2 * 3  # the nested key counts where it is active only
    counts = Counter(draw(mutator, draws))
    assert len(counts) == size
    chi_squared = sum((count - draws / size) ** 2 / (draws / size) for count in counts.values())
    assert chi_squared < 49.7  # the 99.9 % quantile for 23 degrees of freedom; the seed is fixed


def test_it_has_no_parameters(net: nn.Module) -> None:
    assert list(RandomMutator(net).parameters()) == []
