"""What a search found."""

import pytest

import raynas
from raynas.errors import OptionError, SearchStoppedError

SPACE = raynas.SearchSpace({f"k{i}": {"_type": "choice", "_value": [0, 1, 2]} for i in range(4)})


def evaluate(trial: raynas.Trial) -> None:
    values = [int(choice.value) for choice in trial.architecture.values()]
    trial.report(accuracy=sum(values), cost=float(values[0] * 3 + values[1]), seconds=trial.id)


def _two() -> raynas.SearchResult:
    return raynas.search(SPACE, evaluate, metric=["accuracy", "cost"], mode=["max", "min"], num_trials=81, searcher="grid")


def test_with_several_objectives_there_is_a_front_and_no_best() -> None:
    result = _two()
    found = {(point.metrics["accuracy"], point.metrics["cost"]) for point in result.pareto}
    assert found == {(4.0, 0.0), (5.0, 1.0), (6.0, 2.0), (7.0, 5.0), (8.0, 8.0)}
    assert all(point.metrics["seconds"] == point.trial_id for point in result.pareto)
    with pytest.raises(OptionError, match=r"accuracy, cost.*result\.pareto"):
        _ = result.best


def test_the_hypervolume_is_above_the_worst_of_what_was_tried() -> None:
    # the worst are accuracy 0 and cost 8: columns of the staircase from cost 8 down to each point's, by accuracy gained
    assert _two().hypervolume == 4 * 8 + 1 * 7 + 1 * 6 + 1 * 3


def test_with_one_objective_the_front_is_the_best() -> None:
    result = raynas.search(SPACE, evaluate, num_trials=81)
    assert [point.trial_id for point in result.pareto] == [result.best.trial_id]
    assert result.best.value == 8


def test_no_completed_trial_is_said_with_the_last_failure() -> None:
    def fails(trial: raynas.Trial) -> None:
        raise ValueError(f"in trial {trial.id}")

    with pytest.raises(SearchStoppedError, match="no trial completed; the last failure was: ValueError: in trial 1"):
        _ = raynas.search(SPACE, fails, num_trials=2).best
