"""A generator's state as JSON."""

import json
from random import Random

import pytest

from raynas.space import generator_state, restore_generator


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
