"""Metrics, their directions, and what is no result."""

import math

import pytest

from raynas.errors import OptionError
from raynas.explore import Objective


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ([], []),
        (5, "max"),
        (["accuracy", None], ["max", "max"]),
        ("accuracy", 1),
        ("accuracy", "largest"),
        ("accuracy", ["max", "min"]),
        (["accuracy", "flops"], "max"),
        (["accuracy", "accuracy"], ["max", "max"]),
    ],
)
def test_what_does_not_fit_is_refused(metric: str | list[str], mode: str | list[str]) -> None:
    with pytest.raises(OptionError, match="expected"):
        Objective(metric, mode)


def test_larger_is_better_for_searchers() -> None:
    assert Objective("accuracy", "max").value({"accuracy": 0.5, "other": 1}) == 0.5
    assert Objective("loss", "min").value({"loss": 0.5}) == -0.5


def test_several_are_a_mapping_with_a_sign_each() -> None:
    objective = Objective(["accuracy", "flops"], ["max", "min"])
    assert objective.value({"flops": 3.0, "accuracy": 0.5, "other": 1.0}) == {"accuracy": 0.5, "flops": -3.0}
    with pytest.raises(OptionError, match="accuracy, flops"):
        objective.scalar({"flops": 3.0, "accuracy": 0.5})


@pytest.mark.parametrize(
    ("metrics", "problem"),
    [
        ({}, "metric 'flops' was not reported; reported: nothing"),
        ({"acc": 1.0}, "metric 'flops' was not reported; reported: acc"),
        ({"flops": math.nan, "accuracy": 1.0}, "metric 'flops' is nan"),
        ({"flops": 1.0, "accuracy": -math.inf}, "metric 'accuracy' is -inf"),
        ({"flops": 1.0}, "metric 'accuracy' was not reported"),
    ],
)
def test_a_problem_names_the_metric(metrics: dict[str, float], problem: str) -> None:
    assert problem in (Objective(["flops", "accuracy"], ["min", "max"]).problem(metrics) or "")


def test_a_result_has_no_problem() -> None:
    assert Objective("loss", "min").problem({"loss": 0.0, "other": math.nan}) is None


def test_as_json() -> None:
    assert Objective("loss", "min").to_dict() == {"metric": ["loss"], "mode": ["min"]}
    assert Objective(("a", "b"), ("min", "max")).to_dict() == {"metric": ["a", "b"], "mode": ["min", "max"]}
