"""How often each candidate was chosen while a search went on, as numbers. The picture of them is in ``plots``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raynas.space import Architecture, Domain, SearchSpace

Indices = tuple[int, ...]
Picks = list[tuple[int, Indices]]  # for each trial in which the key was active: its bin, and the indices chosen
MAX_BINS, MAX_ROWS, MIN_PER_BIN = 40, 12, 5


@dataclass(frozen=True, slots=True)
class Strip:
    """One key over time.

    Attributes:
        key: the key.
        names: one name for each row: a candidate, or the rest of them where there are many.
        shares: shape [rows, bins]: of the trials in which the key was active, the share that chose the candidate, 0 to 1;
            NaN where it was active in none. With several picks in one trial the shares of a bin add up to more than 1.
        late: shape [rows]: the same over the last fifth of the trials.
        best: the rows of the best architecture.
    """

    key: str
    names: tuple[str, ...]
    shares: NDArray[np.float64]
    late: NDArray[np.float64]
    best: frozenset[int]


def choice_strips(
    space: SearchSpace, trials: pa.Table, *, best: Architecture | None = None, max_keys: int | None = None
) -> list[Strip]:
    """Count the choices of all trials, in the order of their proposals.

    Args:
        space: the search space.
        trials: with the columns ``id`` and ``architecture``; at least one row.
        best: the architecture whose rows are marked.
        max_keys: how many keys at most, the first ones; ``None`` for all.

    Raises:
        ArchitectureError: a trial does not fit the space.
    """
    texts = trials.sort_by("id").column("architecture").to_pylist()
    drawn = [Architecture.from_json(space, text).indices for text in texts]
    num_bins = num_bins_for(len(drawn))
    strips = []
    for key in list(space)[:max_keys]:
        picks = [(number * num_bins // len(drawn), choices[key]) for number, choices in enumerate(drawn) if key in choices]
        chosen = best.indices[key] if best is not None and key in best else ()
        strips.append(_strip(space[key], picks, chosen, num_bins=num_bins))
    return strips


def num_bins_for(num_trials: int) -> int:
    """How many bins: enough trials in each for a share to mean something, unless there are hardly any trials."""
    return max(1, min(MAX_BINS, max(num_trials // MIN_PER_BIN, min(num_trials, 8))))


def _strip(domain: Domain, picks: Picks, chosen: Indices, *, num_bins: int) -> Strip:
    rows, names = _rows(domain, picks, chosen)
    counts, active = np.zeros((len(names), num_bins)), np.zeros(num_bins)
    for at, indices in picks:
        active[at] += 1
        for row in {rows[index] for index in indices}:
            counts[row, at] += 1
    tail = slice(num_bins - max(1, num_bins // 5), num_bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: the key was active in no trial
        shares, late = counts / active, counts[:, tail].sum(axis=1) / active[tail].sum()
    return Strip(domain.key, names, shares, late, frozenset(rows[index] for index in chosen))


def _rows(domain: Domain, picks: Picks, chosen: Indices) -> tuple[list[int], tuple[str, ...]]:
    """The row of each candidate: its own, or the last one, which holds all that are chosen less often."""
    names = [str(candidate) for candidate in domain.candidates]
    if len(names) <= MAX_ROWS:
        return list(range(len(names))), tuple(names)
    counts = np.zeros(len(names))
    for _, indices in picks:
        counts[list(indices)] += 1
    counts[list(chosen)] = np.inf
    kept = sorted(np.argsort(-counts, kind="stable")[: MAX_ROWS - 1].tolist())
    place = {index: row for row, index in enumerate(kept)}
    rest = f"{len(names) - len(kept)} others"
    return [place.get(index, len(kept)) for index in range(len(names))], (*(names[index] for index in kept), rest)
