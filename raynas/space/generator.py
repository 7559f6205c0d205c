"""The state of a seeded generator as JSON: what makes a resumed run continue the very same sequence."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any


def generator_state(rng: Random) -> list[Any]:
    """The state of a generator, as JSON."""
    version, words, gauss = rng.getstate()
    return [version, list(words), gauss]


def restore_generator(rng: Random, state: Sequence[Any]) -> None:
    """The inverse of ``generator_state``."""
    rng.setstate((state[0], tuple(state[1]), state[2]))
