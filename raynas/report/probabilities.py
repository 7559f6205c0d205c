"""How likely a method held each candidate while it trained a supernet, as numbers. The picture is in ``training_plot``."""

from __future__ import annotations

import numpy as np

from raynas.report.axes import Numbers
from raynas.report.choices import MAX_BINS, MAX_ROWS, Strip
from raynas.report.training_figures import PROBABILITY, TrainingFigures
from raynas.space import Architecture, Domain, SearchSpace


def probability_strips(
    space: SearchSpace, figures: TrainingFigures, *, learnt: Architecture | None = None, max_keys: int | None = None
) -> list[Strip]:
    """A strip for each key that has probabilities; of a key with many candidates the likeliest have rows of their own.

    Args:
        space: the search space.
        figures: of the training.
        learnt: the architecture whose rows are marked.
        max_keys: how many keys at most, the first ones; ``None`` for all.

    Returns:
        In ``shares`` the mean probability in each bin of steps, in ``late`` the last one.
    """
    strips: list[Strip] = []
    for key, domain in space.items():
        if len(strips) == max_keys:
            break
        table = probabilities_of(domain, figures)
        if table is not None:
            chosen = learnt.indices[key] if learnt is not None and key in learnt else ()
            strips.append(_strip(domain, table, chosen))
    return strips


def probabilities_of(domain: Domain, figures: TrainingFigures) -> Numbers | None:
    """Shape [steps with any probability, candidates]; NaN where a step has none of this key. ``None`` if no step has."""
    rows = [row for row in figures.rows.values() if any(name.startswith(PROBABILITY) for name in row)]
    names = [f"{PROBABILITY}{domain.key}/{label}" for label in domain.labels]
    table = np.array([[row.get(name, np.nan) for name in names] for row in rows], dtype=np.float64)
    return table if table.size and np.isfinite(table).any() else None


def _strip(domain: Domain, table: Numbers, chosen: tuple[int, ...]) -> Strip:
    known = table[np.isfinite(table).any(axis=1)]
    names, last = list(domain.labels), np.nan_to_num(known[-1])
    place = list(range(len(names)))
    if len(names) > MAX_ROWS:
        order = sorted(place, key=lambda index: (index not in chosen, -last[index]))
        kept = sorted(order[: MAX_ROWS - 1])
        place = [kept.index(index) if index in kept else len(kept) for index in place]
        names = [*(names[index] for index in kept), f"{len(place) - len(kept)} others"]
    merged = np.zeros((len(table), len(names)))
    for index, row in enumerate(place):
        merged[:, row] += table[:, index]
    bins = np.array_split(merged, min(MAX_BINS, len(merged)))
    shares = np.array([_mean(part) for part in bins]).T
    late = merged[-1] if np.isfinite(merged[-1]).any() else np.full(len(names), np.nan)
    return Strip(domain.key, tuple(names), shares, late, frozenset(place[index] for index in chosen))


def _mean(part: Numbers) -> Numbers:
    """Over the rows that are known; NaN where none is."""
    known = np.isfinite(part)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN
        mean: Numbers = np.where(known, part, 0).sum(axis=0) / known.sum(axis=0)
    return mean
