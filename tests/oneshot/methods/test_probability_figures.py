"""Probabilities as figures, under the names by which the report looks for them."""

import pytest
import torch

from raynas.oneshot.methods.probability_figures import probability_figures
from raynas.space import SearchSpace

SPACE = SearchSpace(
    {
        "a/b": {"_type": "layer_choice", "_value": ["conv", "conv", "pool"]},
        "width": {"_type": "choice", "_value": [8, 16]},
    }
)


def test_each_candidate_has_a_name_of_its_own() -> None:
    figures = probability_figures(SPACE, {"a/b": torch.tensor([0.5, 0.25, 0.25]), "width": torch.tensor([0.25, 0.75])})
    assert figures == {
        "alpha/a/b/conv[0]": 0.5,
        "alpha/a/b/conv[1]": 0.25,
        "alpha/a/b/pool": 0.25,
        "alpha/width/8": 0.25,
        "alpha/width/16": 0.75,
    }


def test_a_key_without_any_is_left_out_and_a_wrong_number_is_not() -> None:
    assert probability_figures(SPACE, {}) == {}
    with pytest.raises(ValueError, match=r"longer|shorter"):
        probability_figures(SPACE, {"width": torch.ones(3)})
