"""``StoppingScheduler``: a scheduler of Ray Tune, held to what a search allows: a trial goes on or is stopped."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import (
    FIFOScheduler,
    HyperBandScheduler,
    PopulationBasedTraining,
    PopulationBasedTrainingReplay,
    ResourceChangingScheduler,
    TrialScheduler,
)

from raynas.errors import OptionError
from raynas.explore import Objective

_TAKE = "take ASHAScheduler or MedianStoppingRule"
_REFUSED = {
    PopulationBasedTraining: "changes the configuration of running trials, which Ray Tune does not combine with a searcher, "
    f"and an architecture cannot change under its weights; {_TAKE}",
    PopulationBasedTrainingReplay: f"replays configurations of its own beside those of the searcher; {_TAKE}",
    HyperBandScheduler: "pauses trials to compare them, and a trial here is one call of evaluate, which cannot be paused; "
    f"{_TAKE}, or the searcher successive_halving",
    ResourceChangingScheduler: f"restarts running trials with other resources; {_TAKE}, and resources_per_trial",
}


class StoppingScheduler(FIFOScheduler):
    """Asks another scheduler; where it would pause a trial to yield its place, the trial goes on.

    It may be used in one ``tune.Tuner`` after the other, and goes on with what it has seen.

    Args:
        scheduler: the other one.
        objective: what it is to compare, unless it was made with a metric of its own.

    Raises:
        OptionError: it does more than stop trials, or there are several objectives and it was made without a metric.
    """

    def __init__(self, scheduler: Any, objective: Objective) -> None:
        super().__init__()
        for kind, reason in _REFUSED.items():
            if isinstance(scheduler, kind):
                raise OptionError(f"{type(scheduler).__name__} {reason}")
        if not isinstance(scheduler, TrialScheduler):
            raise OptionError(f"scheduler is {scheduler!r}; expected one of ray.tune.schedulers")
        if scheduler.metric is None:
            if len(objective.metrics) > 1:
                raise OptionError(f"{type(scheduler).__name__} compares one metric; make it with metric=... and mode=...")
            scheduler.set_search_properties(objective.metrics[0], objective.modes[0])
        self._scheduler = scheduler

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        return True

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._scheduler.on_trial_add(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self._scheduler.on_trial_error(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = self._scheduler.on_trial_result(tune_controller, trial, result)
        return TrialScheduler.CONTINUE if decision == TrialScheduler.PAUSE else decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        self._scheduler.on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        self._scheduler.on_trial_remove(tune_controller, trial)

    def is_full(self, result: dict[str, Any]) -> bool:
        """Whether a trial was stopped because it had all that the scheduler ever gives: ``max_t`` of ASHA, for example."""
        most, unit = getattr(self._scheduler, "_max_t", None), getattr(self._scheduler, "_time_attr", None)
        return most is not None and unit in result and bool(result[unit] >= most)
