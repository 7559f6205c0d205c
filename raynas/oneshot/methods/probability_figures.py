"""``probability_figures``: what a method that learns an architecture says of each candidate, as figures for the log."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from raynas.space import SearchSpace


def probability_figures(space: SearchSpace, probabilities: Mapping[str, Tensor]) -> dict[str, float]:
    """A figure ``alpha/<key>/<candidate>`` for each probability, under the names by which the report finds them.

    Args:
        space: the search space.
        probabilities: (number of candidates,) for each key that has some.
    """
    return {
        f"alpha/{key}/{label}": value
        for key, found in probabilities.items()
        for label, value in zip(space[key].labels, found.tolist(), strict=True)
    }
