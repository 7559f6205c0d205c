"""Shares of candidates over time, counted by hand."""

import numpy as np
import pytest

from raynas.explore import TrialRecord, trials_table
from raynas.report.choices import choice_strips, num_bins_for
from raynas.space import SearchSpace

SPACE = SearchSpace(
    {
        "op": {"_type": "layer_choice", "_value": ["a", "b"]},
        "inner": {"_type": "choice", "_value": [1, 2], "_when": {"op": [1]}},
        "inputs": {"_type": "input_choice", "_value": {"candidates": ["x", "y", "z"], "n_chosen": 2}},
    }
)
WITH_A = {"op": {"_idx": 0}, "inputs": {"_idx": [0, 1]}}
WITH_B = {"op": {"_idx": 1}, "inner": {"_idx": 0}, "inputs": {"_idx": [1, 2]}}


def table(*choices: dict[str, dict[str, object]]) -> object:
    return trials_table([TrialRecord(number, SPACE.validate(each)) for number, each in enumerate(choices)])


def test_shares_of_each_bin() -> None:
    op, inner, inputs = choice_strips(SPACE, table(WITH_A, WITH_B, WITH_B))
    assert op.shares.tolist() == [[1, 0, 0], [0, 1, 1]]
    np.testing.assert_array_equal(inner.shares, [[np.nan, 1, 1], [np.nan, 0, 0]])  # inactive in the first trial
    assert inputs.shares.tolist() == [[1, 0, 0], [1, 1, 1], [0, 1, 1]]
    assert op.late.tolist() == [0, 1]


def test_inactive_throughout() -> None:
    inner = choice_strips(SPACE, table(WITH_A))[1]
    assert np.isnan(inner.shares).all()
    assert np.isnan(inner.late).all()


def test_the_best_is_marked_and_keys_are_limited() -> None:
    op, inner = choice_strips(SPACE, table(WITH_A), best=SPACE.validate(WITH_A), max_keys=2)
    assert (op.best, inner.best) == ({0}, frozenset())


def test_many_candidates_share_a_row() -> None:
    space = SearchSpace({"width": {"_type": "choice", "_value": list(range(40))}})
    trials = trials_table([TrialRecord(i, space.unrank(i % 3)) for i in range(9)])
    (strip,) = choice_strips(space, trials, best=space.unrank(39))
    assert len(strip.names) == 12
    assert {"0", "1", "2", "39"} <= set(strip.names)  # the most chosen, and the best
    assert strip.names[-1] == "29 others"
    assert strip.shares.sum(axis=0) == pytest.approx(1)


@pytest.mark.parametrize(("num_trials", "expected"), [(1, 1), (5, 5), (20, 8), (100, 20), (10_000, 40)])
def test_num_bins(num_trials: int, expected: int) -> None:
    assert num_bins_for(num_trials) == expected
