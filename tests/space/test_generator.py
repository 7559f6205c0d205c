"""Integers from a generator, and its state as JSON."""

import json
from collections.abc import Callable
from random import Random

import pytest

from raynas.space import generator_state, restore_generator
from raynas.space.generator import below


@pytest.mark.parametrize("drawn", [0, 1, 623, 624, 1_000])
def test_a_restored_generator_continues_the_same_sequence(drawn: int) -> None:
    rng, other = Random(3), Random(4)
    for _ in range(drawn):
        rng.random()
    restore_generator(other, json.loads(json.dumps(generator_state(rng))))
    assert [rng.random() for _ in range(1_000)] == [other.random() for _ in range(1_000)]


def test_the_second_half_of_a_gaussian_pair_is_kept() -> None:
    rng, other = Random(3), Random(4)
    rng.gauss(0, 1)
    restore_generator(other, json.loads(json.dumps(generator_state(rng))))
    assert rng.gauss(0, 1) == other.gauss(0, 1)


def test_taking_the_state_draws_nothing() -> None:
    rng, other = Random(3), Random(3)
    generator_state(rng)
    assert rng.random() == other.random()


@pytest.mark.parametrize("n", [1, 2, 7, 1 << 31, 1 << 32, 10**30])
def test_below_stays_below(n: int) -> None:
    rng = Random(0)
    drawn = [below(rng, n) for _ in range(1_000)]
    assert 0 <= min(drawn) <= max(drawn) < n
    assert len(set(drawn)) > 990 or n < 100
    assert max(drawn) >= n * 0.9 or n < 10


def test_below_is_uniform(is_uniform: Callable[..., bool]) -> None:
    rng, counts = Random(1), [0] * 7
    for _ in range(70_000):
        counts[below(rng, 7)] += 1
    assert is_uniform(counts)
