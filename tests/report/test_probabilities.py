"""Probabilities over a training, counted by hand."""

import numpy as np

from raynas.report.choices import MAX_BINS, MAX_ROWS
from raynas.report.probabilities import probabilities_of, probability_strips
from raynas.report.training_figures import TrainingFigures
from raynas.space import SearchSpace

SPACE = SearchSpace(
    {
        "op": {"_type": "layer_choice", "_value": ["a", "b", "a"]},
        "inner/x": {"_type": "layer_choice", "_value": ["c", "d"], "_when": {"op": [1]}},
        "inputs": {"_type": "input_choice", "_value": {"candidates": ["x", "y"], "n_chosen": 1}},
    }
)


def figures(*rows: dict[str, float]) -> TrainingFigures:
    return TrainingFigures({10 * number: row for number, row in enumerate(rows, 1)})


ROWS = figures(
    {"alpha/op/a[0]": 0.2, "alpha/op/b": 0.3, "alpha/op/a[2]": 0.5, "loss": 1.0},
    {"valid_loss": 2.0},
    {"alpha/op/a[0]": 0.6, "alpha/op/b": 0.3, "alpha/op/a[2]": 0.1, "alpha/inner/x/c": 0.25, "alpha/inner/x/d": 0.75},
)


def test_rows_with_probabilities_are_the_bins() -> None:
    op, inner = probability_strips(SPACE, ROWS)  # none of the third key
    assert op.names == ("a[0]", "b", "a[2]")
    np.testing.assert_allclose(op.shares, [[0.2, 0.6], [0.3, 0.3], [0.5, 0.1]])
    np.testing.assert_allclose(op.late, [0.6, 0.3, 0.1])
    np.testing.assert_array_equal(inner.shares, [[np.nan, 0.25], [np.nan, 0.75]])
    np.testing.assert_allclose(inner.late, [0.25, 0.75])
    assert op.best == inner.best == frozenset()
    assert probabilities_of(SPACE["inputs"], ROWS) is None
    assert probability_strips(SPACE, figures({"loss": 1.0})) == []


def test_what_was_learnt_is_marked_and_keys_are_limited() -> None:
    learnt = SPACE.validate({"op": {"_idx": 2}, "inputs": {"_idx": [0]}})
    (op,) = probability_strips(SPACE, ROWS, learnt=learnt, max_keys=1)
    assert op.best == {2}
    assert probability_strips(SPACE, ROWS, learnt=learnt)[1].best == frozenset()  # its key is not active


def test_many_rows_are_put_into_bins() -> None:
    rows = figures(*({"alpha/op/a[0]": number / 100, "alpha/op/b": 0.5, "alpha/op/a[2]": 0.0} for number in range(80)))
    (op,) = probability_strips(SPACE, rows)
    assert op.shares.shape == (3, MAX_BINS)
    np.testing.assert_allclose(op.shares[0], [(4 * at + 1) / 200 for at in range(MAX_BINS)])
    assert op.late[0] == 0.79


def test_of_many_candidates_the_likeliest_and_the_chosen_have_rows() -> None:
    space = SearchSpace({"width": {"_type": "choice", "_value": list(range(20))}})
    row = {f"alpha/width/{index}": (index + 1) / 210 for index in range(20)}
    (strip,) = probability_strips(space, figures(row), learnt=space.validate({"width": {"_idx": 3}}))
    assert strip.names == ("3", *map(str, range(10, 20)), "9 others")
    assert len(strip.names) == MAX_ROWS
    assert strip.best == {0}
    np.testing.assert_allclose(strip.late.sum(), 1)
    np.testing.assert_allclose(strip.late[-1], sum(index + 1 for index in range(10) if index != 3) / 210)
