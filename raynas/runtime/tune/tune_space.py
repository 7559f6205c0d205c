"""A search space as Ray Tune's ``param_space``, and Tune's searchers (Optuna, HyperOpt, BOHB, ...) as ours."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ray import tune
from ray.tune.search import Searcher as RayTuneSearcher

from raynas.errors import ArchitectureError, NoMoreTrials, SearcherError
from raynas.explore import Searcher
from raynas.explore.searcher import Value
from raynas.space import INPUT_CHOICE, Architecture, Domain, Indices, SearchSpace

MAX_NUMBERED = 1_000  # ways to pick inputs that are numbered; where there are more, each input has a priority
_METRIC = "value"
_logger = logging.getLogger(__name__)


def tune_param_space(space: SearchSpace) -> dict[str, Any]:
    """The search space in the primitives of Ray Tune, flat, so that each of Tune's searchers takes it.

    Conditions are left out: every key is sampled, and ``architecture_from_tune`` ignores those that are not active.

    - A layer choice or a choice: ``tune.choice`` over the indices of its candidates, under its key.
    - An input choice of any number: ``tune.choice([False, True])`` for each input, under ``"key[index]"``.
    - An input choice of a fixed number: ``tune.choice`` over the numbers of its options (``Domain.option``), under its key.
      With more than ``MAX_NUMBERED`` options: ``tune.uniform(0, 1)`` for each input, under ``"key[index]"``, and those with
      the highest are picked (random keys, Bean 1994), each set of inputs with the same probability.

    ``%``, ``/`` and ``[`` in keys are written as ``%25``, ``%2F`` and ``%5B``: Tune takes a ``/`` for a dict in a dict.

    Example::

        tune.Tuner(trainable, param_space=tune_param_space(space), tune_config=tune.TuneConfig(search_alg=OptunaSearch()))
    """
    made: dict[str, Any] = {}
    for domain in space.values():
        if _is_numbered(domain):
            made[_name(domain)] = tune.choice(list(range(domain.num_options)))
        else:
            for index in range(len(domain.candidates)):
                of_any_number = domain.n_chosen is None
                made[_name(domain, index)] = tune.choice([False, True]) if of_any_number else tune.uniform(0.0, 1.0)
    return made


def architecture_from_tune(space: SearchSpace, config: Mapping[str, Any]) -> Architecture:
    """The architecture that a sample of ``tune_param_space(space)`` stands for.

    Args:
        space: the search space.
        config: what Tune hands its trainable; what it holds beside the parameters of the space is ignored.

    Raises:
        ArchitectureError: a parameter is missing or out of its range.

    Example::

        def trainable(config):
            model = raynas.freeze(Net(), architecture_from_tune(space, config))
    """
    choices: dict[str, Indices] = {}
    for key in sorted(space, key=lambda key: len(space[key].when)):  # parents before their children
        if space.is_active(key, choices):
            choices[key] = _indices(space[key], config)
    return Architecture.from_indices(space, choices)


def tune_config(space: SearchSpace, architecture: Mapping[str, Any]) -> dict[str, Any]:
    """A sample of ``tune_param_space(space)`` that stands for the architecture, for ``points_to_evaluate``.

    Keys that are not active have their first option. The inverse of ``architecture_from_tune``.

    Raises:
        ArchitectureError: it is no architecture of the space.
    """
    indices = space.validate(architecture).indices
    config: dict[str, Any] = {}
    for key, domain in space.items():
        picked = indices.get(key, domain.option(0))
        if domain.kind != INPUT_CHOICE:
            config[_name(domain)] = picked[0]
        elif _is_numbered(domain):
            config[_name(domain)] = next(n for n in range(domain.num_options) if domain.option(n) == picked)
        else:
            for index in range(len(domain.candidates)):
                config[_name(domain, index)] = index in picked if domain.n_chosen is None else float(index in picked)
    return config


class TuneSearcherAdapter(Searcher):
    """A searcher of Ray Tune (``OptunaSearch()``, ``HyperOptSearch()``, ``TuneBOHB()``, ...) as one of ours.

    It is told ``tune_param_space(space)`` and to maximize, since larger is better for searchers whatever the search's mode
    is; a metric and a mode of its own are replaced. A trial that failed is told as ``error=True``, without a result. A
    resumed run replays it from the start, so give it a seed.

    Args:
        tune_searcher: one without a search space of its own, also in a ``ConcurrencyLimiter``.

    Attributes:
        tune_searcher: the object.
        name: of its class.

    Raises:
        SearcherError: it is no searcher of Ray Tune, or (once told the space) does not take it.

    Example::

        raynas.search(space, evaluate, searcher=TuneSearcherAdapter(OptunaSearch(seed=0)), num_trials=100)
    """

    def __init__(self, tune_searcher: Any) -> None:
        super().__init__()
        self.tune_searcher, self.name = tune_searcher, type(tune_searcher).__name__
        if not isinstance(tune_searcher, RayTuneSearcher):
            raise SearcherError(f"{self.name} is no searcher of Ray Tune; expected a ray.tune.search.Searcher")
        self._running: dict[int, Architecture] = {}
        self._warned = False

    def update_search_space(self, search_space: SearchSpace) -> None:
        super().update_search_space(search_space)
        if not self.tune_searcher.set_search_properties(_METRIC, "max", tune_param_space(search_space)):
            raise SearcherError(f"{self.name} did not take the search space; make a new one, without a space of its own")

    def generate_parameters(self, parameter_id: int) -> Architecture | None:
        config = self.tune_searcher.suggest(str(parameter_id))
        if config == RayTuneSearcher.FINISHED:
            raise NoMoreTrials(f"{self.name} has finished")
        if config is None:
            return None
        self._running[parameter_id] = architecture_from_tune(self.space, config)
        return self._running[parameter_id]

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Value) -> None:
        super().receive_trial_result(parameter_id, parameters, value)
        if self._running.get(parameter_id) != parameters:
            self.trial_end(parameter_id, False)  # what it suggested under this id was not run
            self.import_data([{"parameter": parameters, "value": value}])
            return
        del self._running[parameter_id]
        # TuneBOHB learns from results that name their budget; a search has one
        result = {_METRIC: value, "training_iteration": 1, "done": True, "hyperband_info": {"budget": 1.0}}
        self.tune_searcher.on_trial_result(str(parameter_id), dict(result))
        self.tune_searcher.on_trial_complete(str(parameter_id), dict(result))

    def trial_end(self, parameter_id: int, success: bool) -> None:
        if self._running.pop(parameter_id, None) is not None:
            self.tune_searcher.on_trial_complete(str(parameter_id), error=True)

    def import_data(self, data: Sequence[Mapping[str, Any]]) -> None:
        try:
            for entry in data:
                self.tune_searcher.add_evaluated_point(tune_config(self.space, entry["parameter"]), entry["value"])
        except NotImplementedError:
            if not self._warned:
                _logger.warning("searcher %s takes no results from elsewhere: it does not learn what is known", self.name)
            self._warned = True


def _is_numbered(domain: Domain) -> bool:
    return domain.kind != INPUT_CHOICE or (domain.n_chosen is not None and domain.num_options <= MAX_NUMBERED)


def _name(domain: Domain, index: int | None = None) -> str:
    name = domain.key.replace("%", "%25").replace("/", "%2F").replace("[", "%5B")
    if name.isdigit():  # Tune takes a dict of such keys for a list
        name = f"%{ord(name[0]):X}{name[1:]}"
    return name if index is None else f"{name}[{index}]"


def _indices(domain: Domain, config: Mapping[str, Any]) -> Indices:
    if _is_numbered(domain):
        return domain.option(_number(domain, config))
    values = [_parameter(domain, _name(domain, index), config) for index in range(len(domain.candidates))]
    if domain.n_chosen is None:
        return tuple(index for index, picked in enumerate(values) if picked)
    best = sorted(range(len(values)), key=lambda index: -values[index])  # stable: the earlier of equals
    return tuple(sorted(best[: domain.n_chosen]))


def _number(domain: Domain, config: Mapping[str, Any]) -> int:
    found = _parameter(domain, _name(domain), config)
    try:
        number = int(found)  # one of numpy's, perhaps
    except (TypeError, ValueError, OverflowError):
        number = -1
    if number != found or not 0 <= number < domain.num_options:
        raise ArchitectureError(f"key {domain.key!r}: found {found!r}; expected an integer from 0 to {domain.num_options - 1}")
    return number


def _parameter(domain: Domain, name: str, config: Mapping[str, Any]) -> Any:
    if name not in config:
        raise ArchitectureError(f"key {domain.key!r}: the parameter {name!r} is missing; sample it from tune_param_space")
    return config[name]
