"""Ray Tune's searchers on our spaces, in Tune itself and in a search of ours."""

import logging
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import tune
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search import Searcher as RayTuneSearcher
from ray.tune.search.optuna import OptunaSearch

import raynas
from raynas.errors import ArchitectureError, NoMoreTrials, SearcherError
from raynas.explore import EngineOptions, Objective, SearchLimits, SearchSession, run_local
from raynas.runtime.tune.tune_space import (
    TuneSearcherAdapter,
    architecture_from_tune,
    tune_config,
    tune_param_space,
)
from raynas.space import SearchSpace
from raynas.testing import SearcherContract, example_spaces


def inputs(number: int, n_chosen: int | None) -> dict[str, Any]:
    names = [f"input{index}" for index in range(number)]
    return {"_type": "input_choice", "_value": {"candidates": names, "n_chosen": n_chosen}}


SPACE = SearchSpace(
    {
        "cell": {"_type": "layer_choice", "_value": ["plain", "branch", "mixed"]},
        "inner": {"_type": "layer_choice", "_value": ["a", "b"], "_when": {"cell": [1, 2]}},
        "width": {"_type": "choice", "_value": [8, 16, 24]},
        "any": inputs(3, None),
        "two": inputs(4, 2),
    }
)
LARGE = SearchSpace({"many": inputs(20, 6), "op": {"_type": "layer_choice", "_value": ["a", "b"]}})


def value(architecture: raynas.Architecture) -> float:
    return float(sum(sum(indices) for indices in architecture.indices.values()))


# --- the space -------------------------------------------------------------------------------------------------------


def test_each_kind_of_key_has_its_primitive() -> None:
    made = tune_param_space(SPACE)
    assert {name: domain.categories for name, domain in made.items()} == {
        "cell": [0, 1, 2],
        "inner": [0, 1],
        "width": [0, 1, 2],
        **{f"any[{index}]": [False, True] for index in range(3)},
        "two": [0, 1, 2, 3, 4, 5],
    }


def test_inputs_of_many_combinations_have_a_priority_each() -> None:
    made = tune_param_space(LARGE)
    assert set(made) == {"op", *(f"many[{index}]" for index in range(20))}
    assert (made["many[0]"].lower, made["many[0]"].upper) == (0.0, 1.0)
    config = dict.fromkeys(made, 0.5) | {"op": 0, "many[3]": 0.9, "many[19]": 0.6, "many[1]": 0.1}
    assert architecture_from_tune(LARGE, config)["many"].indices == (0, 2, 3, 4, 5, 19), "of equals, the earlier ones"


def test_priorities_draw_each_set_with_the_same_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raynas.runtime.tune.tune_space.MAX_NUMBERED", 5)
    space = SearchSpace({"two": inputs(4, 2)})
    made = tune_param_space(space)
    assert len(made) == 4
    rng = np.random.RandomState(0)
    drawn = Counter(
        architecture_from_tune(space, {name: domain.sample(random_state=rng) for name, domain in made.items()})
        for _ in range(3_000)
    )
    assert len(drawn) == 6
    assert sum((count - 500) ** 2 / 500 for count in drawn.values()) < 20.5  # chi-squared, 5 degrees, p = 0.001


@pytest.mark.parametrize("number", range(30))
def test_whatever_is_sampled_is_an_architecture_and_back(number: int) -> None:
    space = example_spaces()[number]
    made, rng = tune_param_space(space), np.random.RandomState(number)
    for _ in range(10):
        config = {name: domain.sample(random_state=rng) for name, domain in made.items()}
        architecture = architecture_from_tune(space, config)
        assert architecture == space.validate(architecture.to_dict())
        again = tune_config(space, architecture)
        assert set(again) == set(made)
        assert architecture_from_tune(space, again) == architecture
    drawn = space.sample(random.Random(number))
    assert architecture_from_tune(space, tune_config(space, drawn)) == drawn


def test_the_inverse_of_priorities() -> None:
    drawn = LARGE.sample(random.Random(3))
    assert architecture_from_tune(LARGE, tune_config(LARGE, drawn)) == drawn


def test_every_architecture_can_be_sampled() -> None:
    made = tune_param_space(SPACE)
    for architecture in SPACE.enumerate():
        config = tune_config(SPACE, architecture)
        assert all(config[name] in domain.categories for name, domain in made.items())
        assert architecture_from_tune(SPACE, config) == architecture


def test_names_are_told_apart_and_safe_for_tune() -> None:
    choice = {"_type": "choice", "_value": [1, 2]}
    space = SearchSpace({"a": inputs(2, None), "a[0]": choice, "a/0": choice, "a%2F0": choice, "0": choice, "12": choice})
    made = tune_param_space(space)
    assert list(made) == ["a[0]", "a[1]", "a%5B0]", "a%2F0", "a%252F0", "%30", "%312"]
    searcher = TuneSearcherAdapter(OptunaSearch(seed=0))
    searcher.update_search_space(space)
    assert searcher.generate_parameters(0) is not None


def test_inactive_and_other_parameters_are_ignored() -> None:
    config = tune_config(SPACE, SPACE.unrank(0)) | {"inner": "nonsense", "lr": 0.1}
    assert architecture_from_tune(SPACE, config) == SPACE.unrank(0)
    del config["inner"]
    assert architecture_from_tune(SPACE, config) == SPACE.unrank(0)


def test_numbers_of_numpy_are_numbers() -> None:
    config = tune_config(SPACE, SPACE.unrank(700))
    converted = {name: np.bool_(at) if isinstance(at, bool) else np.int64(at) for name, at in config.items()}
    assert architecture_from_tune(SPACE, converted) == SPACE.unrank(700)


@pytest.mark.parametrize("found", [3, -1, 0.5, "plain", None, float("nan")])
def test_what_is_out_of_range_names_the_key(found: Any) -> None:
    with pytest.raises(ArchitectureError, match=r"key 'cell': found .*; expected an integer from 0 to 2"):
        architecture_from_tune(SPACE, tune_config(SPACE, SPACE.unrank(0)) | {"cell": found})


@pytest.mark.parametrize(("name", "key"), [("width", "width"), ("any[1]", "any")])
def test_what_is_missing_names_the_key(name: str, key: str) -> None:
    config = tune_config(SPACE, SPACE.unrank(0))
    del config[name]
    with pytest.raises(ArchitectureError) as caught:
        architecture_from_tune(SPACE, config)
    assert f"key {key!r}: the parameter {name!r} is missing" in str(caught.value)


# --- a searcher of Tune ----------------------------------------------------------------------------------------------


class TuneRandom(RayTuneSearcher):
    """What any searcher of Tune has, and nothing more; says FINISHED after ``most``."""

    def __init__(self, seed: int, most: int = 10_000) -> None:
        super().__init__()
        self.rng, self.most, self.told = np.random.RandomState(seed), most, []

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        self.properties, self.domains = (metric, mode), config
        return True

    def suggest(self, trial_id: str) -> Any:
        self.most -= 1
        if self.most < 0:
            return RayTuneSearcher.FINISHED
        return {name: domain.sample(random_state=self.rng) for name, domain in self.domains.items()}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        self.told.append((trial_id, result and result[self.properties[0]], error))


class TestTuneRandom(SearcherContract):
    def make_searcher(self, seed: int) -> Any:
        return TuneSearcherAdapter(TuneRandom(seed))

    def make_spaces(self) -> list[SearchSpace]:
        return example_spaces()[::3]


class TestOptuna(SearcherContract):
    proposals_per_space = 12

    def make_searcher(self, seed: int) -> Any:
        return TuneSearcherAdapter(OptunaSearch(seed=seed))

    def make_spaces(self) -> list[SearchSpace]:
        return example_spaces()[::10]

    test_a_thousand_proposals_are_fast = None  # it is Optuna's time, not ours
    test_a_small_space_comes_to_its_end = None  # after a thousand that are known


def made_and_told(tune_searcher: Any) -> TuneSearcherAdapter:
    searcher = TuneSearcherAdapter(tune_searcher)
    searcher.update_search_space(SPACE)
    return searcher


def test_it_is_told_to_maximize_and_each_end_once() -> None:
    theirs = TuneRandom(0, most=3)
    searcher = made_and_told(theirs)
    assert theirs.properties == ("value", "max")
    made = [searcher.generate_parameters(number) for number in range(3)]
    searcher.receive_trial_result(1, made[1], 0.25)
    searcher.trial_end(1, True)
    searcher.trial_end(0, False)
    assert theirs.told == [("1", 0.25, False), ("0", None, True)]
    with pytest.raises(NoMoreTrials, match="TuneRandom has finished"):
        searcher.generate_parameters(3)


def test_a_searcher_that_waits_is_asked_again() -> None:
    searcher = made_and_told(ConcurrencyLimiter(TuneRandom(0), max_concurrent=1))
    first = searcher.generate_parameters(0)
    assert searcher.generate_parameters(1) is None
    searcher.receive_trial_result(0, first, 1.0)
    searcher.trial_end(0, True)
    assert searcher.generate_parameters(1) is not None


def test_what_is_no_searcher_of_tune_is_refused() -> None:
    with pytest.raises(SearcherError, match=r"Random is no searcher of Ray Tune"):
        TuneSearcherAdapter(random.Random())


def test_one_with_a_space_of_its_own_is_refused() -> None:
    with pytest.raises(SearcherError, match="OptunaSearch did not take the search space; make a new one"):
        made_and_told(OptunaSearch({"x": tune.uniform(0, 1)}, metric="value", mode="max"))


def test_imported_results_are_points_it_knows() -> None:
    theirs = OptunaSearch(seed=0)
    searcher = made_and_told(theirs)
    searcher.import_data([{"parameter": SPACE.unrank(number).to_dict(), "value": 0.5 + number} for number in (0, 700)])
    trials = theirs._ot_study.trials
    assert [trial.value for trial in trials] == [0.5, 700.5]
    assert [architecture_from_tune(SPACE, trial.params) for trial in trials] == [SPACE.unrank(0), SPACE.unrank(700)]


def test_a_result_of_what_it_did_not_suggest_is_imported(caplog: pytest.LogCaptureFixture) -> None:
    theirs = OptunaSearch(seed=0)
    searcher = made_and_told(theirs)
    searcher.receive_trial_result(7, SPACE.unrank(1), 0.5)
    searcher.trial_end(7, True)
    made = searcher.generate_parameters(8)
    other = next(each for each in SPACE.enumerate() if each != made)
    searcher.receive_trial_result(8, other, 0.25)
    searcher.trial_end(8, True)
    assert sorted(trial.value or 0.0 for trial in theirs._ot_study.trials) == [0.0, 0.25, 0.5]

    searcher = made_and_told(TuneRandom(0))
    with caplog.at_level(logging.WARNING):
        for number in range(2):
            searcher.receive_trial_result(number, SPACE.unrank(number), 0.5)
    assert [record.message for record in caplog.records if record.name.startswith("raynas")] == [
        "searcher TuneRandom takes no results from elsewhere: it does not learn what is known"
    ]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_optuna_searches_better_than_chance(mode: str) -> None:
    best = []
    for seed in range(3):
        objective, limits = Objective("score", mode), SearchLimits(60)
        session = SearchSession(TuneSearcherAdapter(OptunaSearch(seed=seed)), SPACE, objective, limits=limits)
        run_local(session, lambda trial: trial.report(score=value(trial.architecture)), EngineOptions())
        assert session.error is None
        later = [value(record.architecture) for record in session.records.values() if record.id >= 30]
        best.append(sum(later) / len(later))
    chance = sum(value(architecture) for architecture in SPACE.enumerate()) / SPACE.size
    assert all(mean > chance + 1 if mode == "max" else mean < chance - 1 for mean in best), (best, chance)


@pytest.mark.nightly
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_tune_itself_searches_our_space(tmp_path: Path) -> None:
    space = SPACE

    def trainable(config: dict[str, Any]) -> None:
        architecture = architecture_from_tune(space, config)
        tune.report({"score": value(architecture), "digest": architecture.digest})

    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 0.5}),
        param_space=tune_param_space(space),
        tune_config=tune.TuneConfig(
            metric="score", mode="max", search_alg=OptunaSearch(seed=0), num_samples=6, max_concurrent_trials=2
        ),
        run_config=tune.RunConfig(storage_path=str(tmp_path), name="optuna", verbose=0),
    )
    results = tuner.fit()
    assert results.num_errors == 0
    digests = {result.metrics["digest"] for result in results}
    assert len(results) == 6
    assert digests <= {architecture.digest for architecture in space.enumerate()}
    best = results.get_best_result()
    assert value(architecture_from_tune(space, best.config)) == best.metrics["score"]
