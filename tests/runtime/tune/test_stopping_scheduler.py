"""Schedulers of Ray Tune, held to stopping."""

from typing import Any

import pytest
from ray.tune.schedulers import (
    ASHAScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    ResourceChangingScheduler,
    TrialScheduler,
)

from raynas.errors import OptionError
from raynas.explore import Objective
from raynas.runtime.tune.stopping_scheduler import StoppingScheduler

ACCURACY = Objective("accuracy", "max")


@pytest.mark.parametrize(
    ("scheduler", "reason"),
    [
        (PopulationBasedTraining(hyperparam_mutations={"x": [1]}), "does not combine with a searcher"),
        (HyperBandScheduler(), "pauses trials.*successive_halving"),
        (ResourceChangingScheduler(), "restarts running trials"),
        ("asha", "ray.tune.schedulers"),
    ],
    ids=["pbt", "hyperband", "resources", "a name"],
)
def test_what_does_more_than_stop_is_refused_with_the_reason(scheduler: Any, reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        StoppingScheduler(scheduler, ACCURACY)


def test_it_compares_the_metric_of_the_search_unless_it_has_its_own() -> None:
    scheduler = ASHAScheduler()
    StoppingScheduler(scheduler, Objective("loss", "min"))
    assert (scheduler.metric, scheduler._mode) == ("loss", "min")
    StoppingScheduler(scheduler, Objective("loss", "min"))  # in the next slice
    own = ASHAScheduler(metric="accuracy", mode="max")
    StoppingScheduler(own, Objective(["loss", "flops"], ["min", "min"]))
    assert own.metric == "accuracy"
    with pytest.raises(OptionError, match="compares one metric"):
        StoppingScheduler(ASHAScheduler(), Objective(["loss", "flops"], ["min", "min"]))


class Pausing(MedianStoppingRule):
    def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> str:
        return TrialScheduler.PAUSE if result["accuracy"] > 0 else TrialScheduler.STOP


def test_a_pause_is_to_go_on() -> None:
    scheduler = StoppingScheduler(Pausing(), ACCURACY)
    assert scheduler.on_trial_result(None, None, {"accuracy": 1}) == TrialScheduler.CONTINUE
    assert scheduler.on_trial_result(None, None, {"accuracy": 0}) == TrialScheduler.STOP


def test_a_trial_that_had_all_there_is_is_full() -> None:
    scheduler = StoppingScheduler(ASHAScheduler(max_t=9), ACCURACY)
    assert [scheduler.is_full({"training_iteration": at}) for at in (8, 9)] == [False, True]
    assert not scheduler.is_full({})
    assert not StoppingScheduler(MedianStoppingRule(), ACCURACY).is_full({"time_total_s": 1e9})
