"""Tree-structured Parzen estimator: Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 2011, by Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from raynas.errors import OptionError
from raynas.explore import Archive, Searcher
from raynas.space import INPUT_CHOICE, Architecture, Domain, SearchSpace, generator_state, restore_generator

try:
    import optuna
except ImportError:  # said by the searcher, with what to install
    optuna = None  # type: ignore[assignment]

Indices = tuple[int, ...]

MAX_OPTIONS = 32  # of an input choice that is one parameter; with more, each of its inputs is one
MAX_TRIES = 5  # draws of Optuna before neighbours of the last one are tried


class KeyParameters:
    """One key of a search space as parameters of Optuna, all of them categorical.

    Args:
        domain: the key.

    Attributes:
        distributions: by the parameters' names; none for a key with a single option.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        inputs = [f"{domain.key}\t{index}" for index in range(len(domain.candidates))]  # no key has a control character
        several = domain.kind == INPUT_CHOICE and domain.n_chosen != 1 and domain.num_options > MAX_OPTIONS
        categorical = optuna.distributions.CategoricalDistribution
        self.distributions: dict[str, Any] = {}
        self._number_of: dict[Indices, int] | None = None
        if several:
            self.distributions = {name: categorical((0, 1)) for name in inputs}
        elif domain.num_options > 1:
            self.distributions = {domain.key: categorical(tuple(range(domain.num_options)))}
            self._number_of = {domain.option(number): number for number in range(domain.num_options)}

    def write(self, indices: Indices) -> dict[str, int]:
        """The parameters' values for a choice."""
        if self._number_of is not None:
            return {self._domain.key: self._number_of[indices]}
        return {name: int(at in indices) for at, name in enumerate(self.distributions)}

    def read(self, values: Mapping[str, int], rng: Random) -> Indices:
        """The choice that values stand for; random inputs are added or dropped where there must be more or fewer."""
        domain = self._domain
        if self._number_of is not None:
            return domain.option(values[domain.key])
        picked = [at for at, name in enumerate(self.distributions) if values[name]]
        others = [at for at, name in enumerate(self.distributions) if not values[name]]
        wanted = len(picked) if domain.n_chosen is None else domain.n_chosen
        while len(picked) != wanted:
            giver, taker = (picked, others) if len(picked) > wanted else (others, picked)
            taker.append(giver.pop(rng.randrange(len(giver))))
        return tuple(sorted(picked))


@dataclass
class StudyTrial:
    """What the study holds of one trial: a value, or the id under which it runs."""

    architecture: Architecture
    parameter_id: int | None
    value: float | None = None


class TpeSearcher(Searcher):
    """Optuna's ``TPESampler``: proposes what is likely among the good results and unlikely among the others.

    Keys with the same conditions are sampled jointly (as in Falkner et al., "BOHB", ICML 2018), ancestors before what they
    make active, and each of these groups learns from the trials in which it was active; so only active keys are parameters,
    as in section 4 of the paper. A key is one categorical parameter; an input choice with more than ``MAX_OPTIONS`` options
    is one for each input, in or out, and where a fixed number is picked, random inputs are added or dropped until it is met.

    What runs counts as bad until its result comes, so that many trials at once differ. What was proposed before is drawn
    again; after ``MAX_TRIES`` draws the neighbours of the last one are next. It never waits.

    The study is in memory. Optuna's generators are seeded from the searcher's for each proposal, so a state holds the trials
    and one generator; and the sampler is asked directly, since ``ask`` can neither take back a parameter nor a duplicate.

    Args:
        seed: of the searcher's generator.
        num_initial: results before the sampler is asked. Until then proposals are random: half of them uniform over the
            architectures, most of which are large ones where there are conditions, half over the options of each key.
        num_candidates: draws from the good ones of which the most promising is taken.

    Raises:
        OptionError: a number is out of its range, or Optuna is not installed.
    """

    def __init__(self, seed: int = 0, num_initial: int = 10, num_candidates: int = 24) -> None:
        super().__init__(seed)
        if optuna is None:
            raise OptionError(
                "searcher 'tpe' needs Optuna, which is not installed; install it with: pip install raynas[optuna]"
            )
        if num_initial < 0 or num_candidates < 1:
            raise OptionError(f"num_initial={num_initial}, num_candidates={num_candidates}; expected at least 0, at least 1")
        self.num_initial, self.num_candidates = num_initial, num_candidates
        self._keys: dict[str, KeyParameters] = {}
        self._groups: list[list[str]] = []  # keys by their conditions, ancestors first
        self._trials: dict[int, StudyTrial] = {}  # by the numbers of the study
        self._running: dict[int, int] = {}  # id to number
        self._archive: Archive
        self._study: Any

    def update_search_space(self, search_space: SearchSpace) -> None:
        super().update_search_space(search_space)
        self._archive = Archive(self)
        self._keys = {key: KeyParameters(domain) for key, domain in search_space.items()}
        groups: dict[tuple[Any, ...], list[str]] = {}
        for key in sorted(search_space, key=lambda key: len(search_space[key].when)):
            groups.setdefault(tuple(sorted(search_space[key].when.items())), []).append(key)
        self._groups = list(groups.values())
        self._start_study()

    def generate_parameters(self, parameter_id: int) -> Architecture:
        architecture = self._make()
        self._running[parameter_id] = self._add(StudyTrial(architecture, parameter_id))
        return architecture

    def _make(self) -> Architecture:
        sampler = self._make_sampler() if len(self._archive.results) >= self.num_initial else None
        for _ in range(MAX_TRIES):
            drawn = self._draw(sampler)
            if self._archive.is_new(drawn):
                return self._archive.take(drawn)
        able = any(self.space[key].num_options > 1 for key in drawn)
        return self._archive.draw(lambda: self.space.mutate(drawn, self.rng) if able else drawn)

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        super().receive_trial_result(parameter_id, parameters, value)
        self._archive.add(parameters, value)
        number = self._running.pop(parameter_id, None)
        self._tell(self._add(StudyTrial(parameters, None)) if number is None else number, value)

    def trial_end(self, parameter_id: int, success: bool) -> None:
        number = self._running.pop(parameter_id, None)
        if number is not None:
            del self._trials[number]
            self._study.tell(number, state=optuna.trial.TrialState.FAIL)

    # --- drawing ---------------------------------------------------------------------------------------------------

    def _draw(self, sampler: Any) -> Architecture:
        if sampler is None and self.rng.random() < 0.5:
            return self.space.sample(self.rng)
        choices: dict[str, Indices] = {}
        for keys in self._groups:
            if self.space.is_active(keys[0], choices):
                choices |= self._draw_group(keys, sampler)
        return Architecture.trusted(self.space, {key: choices[key] for key in self.space if key in choices})

    def _make_sampler(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some versions of Optuna call arguments experimental
            return optuna.samplers.TPESampler(
                n_startup_trials=0,
                n_ei_candidates=self.num_candidates,
                multivariate=True,
                constant_liar=True,
                seed=self.rng.getrandbits(32),
            )

    def _draw_group(self, keys: list[str], sampler: Any) -> dict[str, Indices]:
        domains = {key: self.space[key] for key in keys}
        if sampler is None:
            return {key: domain.option(self.rng.randrange(domain.num_options)) for key, domain in domains.items()}
        group = {name: at for key in keys for name, at in self._keys[key].distributions.items()}
        trial = self._study.get_trials(deepcopy=False)[0]
        drawn = sampler.sample_relative(self._study, trial, group)
        return {
            key: self._keys[key].read(drawn, self.rng) if self._keys[key].distributions else domain.option(0)
            for key, domain in domains.items()
        }

    # --- the study -------------------------------------------------------------------------------------------------

    def _start_study(self) -> None:
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would say that there is a new study
        try:
            self._study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
        finally:
            optuna.logging.set_verbosity(verbosity)
        self._study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING))  # number 0: what is being drawn

    def _add(self, trial: StudyTrial) -> int:
        """Add a trial that runs; returns its number."""
        parameters: dict[str, int] = {}
        distributions: dict[str, Any] = {}
        for key, indices in trial.architecture.indices.items():
            parameters |= self._keys[key].write(indices)
            distributions |= self._keys[key].distributions
        running = optuna.trial.TrialState.RUNNING
        self._study.add_trial(optuna.trial.create_trial(state=running, params=parameters, distributions=distributions))
        number = len(self._study.get_trials(deepcopy=False)) - 1
        self._trials[number] = trial
        return number

    def _tell(self, number: int, value: float) -> None:
        self._trials[number].parameter_id, self._trials[number].value = None, value
        self._study.tell(number, float(value))

    def state_dict(self) -> dict[str, Any]:
        return {
            "rng": generator_state(self.rng),
            "archive": self._archive.state_dict(),
            "trials": [[trial.architecture.to_row(), trial.parameter_id, trial.value] for trial in self._trials.values()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        restore_generator(self.rng, state["rng"])
        self._archive.load_state_dict(state["archive"])
        self._trials, self._running = {}, {}
        self._start_study()
        for row, parameter_id, value in state["trials"]:
            number = self._add(StudyTrial(Architecture.from_row(self.space, row), parameter_id))
            if parameter_id is None:
                self._tell(number, value)
            else:
                self._running[parameter_id] = number
