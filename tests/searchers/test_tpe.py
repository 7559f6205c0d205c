"""TPE: the contract, keys as Optuna's parameters, conditions, what it learns, manners, states."""

import json
import logging
from collections.abc import Callable
from itertools import combinations
from random import Random
from typing import Any

import optuna
import pytest
from raynas_searchers import tpe
from raynas_searchers.tpe import KeyParameters, TpeSearcher

from raynas.errors import NoMoreTrials, OptionError
from raynas.explore import Searcher, make_searcher
from raynas.space import Architecture, Domain, SearchSpace
from raynas.testing import SearcherContract, example_spaces

NESTED = SearchSpace(
    {
        "width": {"_type": "choice", "_value": [8, 16, 24], "_when": {"op": [0]}},  # before its parent
        "op": {"_type": "layer_choice", "_value": ["conv", "pool"]},
        "scale": {"_type": "choice", "_value": [1, 2]},
        "only": {"_type": "choice", "_value": [7]},
        "many": {"_type": "input_choice", "_value": {"candidates": [str(i) for i in range(20)], "n_chosen": None}},
        "four": {"_type": "input_choice", "_value": {"candidates": [str(i) for i in range(12)], "n_chosen": 4}},
    }
)


class TestContract(SearcherContract):
    predictor = True

    def make_searcher(self, seed: int) -> TpeSearcher:
        return TpeSearcher(seed=seed, num_initial=4)


def _searcher(space: SearchSpace, **options: Any) -> TpeSearcher:
    searcher = TpeSearcher(**options)
    searcher.update_search_space(space)
    return searcher


def _tell_random(searcher: TpeSearcher, value: Callable[[Architecture], float], num_results: int) -> None:
    rng = Random(1)
    drawn = [searcher.space.sample(rng) for _ in range(num_results)]
    searcher.import_data([{"parameter": found.to_dict(), "value": value(found)} for found in drawn])


def _search(searcher: Searcher, space: SearchSpace, value: Callable[[Architecture], float], num_trials: int) -> float:
    searcher.update_search_space(space)
    found = []
    for number in range(num_trials):
        architecture = searcher.generate_parameters(number)
        assert isinstance(architecture, Architecture)
        found.append(value(architecture))
        searcher.receive_trial_result(number, architecture, found[-1])
        searcher.trial_end(number, True)
    return max(found)


# --- keys as parameters ----------------------------------------------------------------------------------------------


def _domain(kind: str, num_candidates: int, n_chosen: int | None = None) -> Domain:
    candidates = [str(index) for index in range(num_candidates)]
    value = {"candidates": candidates, "n_chosen": n_chosen} if kind == "input_choice" else candidates
    return Domain("key", {"_type": kind, "_value": value})


@pytest.mark.parametrize(
    ("domain", "sizes"),
    [
        (_domain("layer_choice", 5), [5]),
        (_domain("choice", 40), [40]),
        (_domain("input_choice", 40, 1), [40]),
        (_domain("input_choice", 5, None), [32]),
        (_domain("input_choice", 6, None), [2] * 6),
        (_domain("input_choice", 5, 2), [10]),
        (_domain("input_choice", 12, 4), [2] * 12),
        (_domain("choice", 1), []),
        (_domain("input_choice", 3, 3), []),
        (_domain("input_choice", 3, 0), []),
    ],
)
def test_a_key_is_one_parameter_or_one_for_each_input(domain: Domain, sizes: list[int]) -> None:
    key = KeyParameters(domain)
    assert [len(distribution.choices) for distribution in key.distributions.values()] == sizes
    for number in range(min(domain.num_options, 50) if sizes else 0):
        values = key.write(domain.option(number))
        assert values.keys() == key.distributions.keys()
        assert key.read(values, Random(0)) == domain.option(number)


def test_inputs_are_added_or_dropped_at_random_until_their_number_is_right() -> None:
    key, rng = KeyParameters(_domain("input_choice", 12, 4)), Random(0)
    few = {name: int(at in (2, 5)) for at, name in enumerate(key.distributions)}
    many = {name: int(at < 6) for at, name in enumerate(key.distributions)}
    added = {key.read(few, rng) for _ in range(2_000)}
    dropped = {key.read(many, rng) for _ in range(2_000)}
    assert added == {tuple(sorted({2, 5, *more})) for more in combinations([at for at in range(12) if at not in (2, 5)], 2)}
    assert dropped == set(combinations(range(6), 4))


def test_only_active_keys_are_parameters_of_a_trial() -> None:
    searcher = _searcher(NESTED, num_initial=0)
    for number in range(12):
        architecture = searcher.generate_parameters(number)
        searcher.receive_trial_result(number, architecture, float(number))
        trial = searcher._study.get_trials(deepcopy=False)[-1]
        assert ("width" in trial.params) == ("width" in architecture) == (architecture["op"].value == "conv")
        assert trial.params["scale"] == architecture["scale"].indices[0]
        assert {int(name.split("\t")[1]) for name in trial.params if name.startswith("four\t") and trial.params[name]} == set(
            architecture["four"].indices
        )
        assert "only" not in trial.params
        assert trial.value == number


def test_a_key_learns_from_the_trials_in_which_it_was_active() -> None:
    searcher = _searcher(NESTED, seed=1)

    def value(architecture: Architecture) -> float:
        return float(architecture["width"].value == 16) if "width" in architecture else 0.5

    _tell_random(searcher, value, 60)
    widths = [proposed["width"].value for proposed in map(searcher.generate_parameters, range(60)) if "width" in proposed]
    assert len(widths) > 20
    assert widths.count(16) > 0.7 * len(widths)


# --- what it does ----------------------------------------------------------------------------------------------------


def test_what_is_common_among_the_good_is_proposed(space: SearchSpace) -> None:
    searcher = _searcher(space)
    _tell_random(searcher, lambda architecture: sum(at == (2,) for at in architecture.indices.values()), 80)
    picks = [at for number in range(20) for at in searcher.generate_parameters(number).indices.values()]
    assert picks.count((2,)) > 0.5 * len(picks)


def test_larger_is_better_and_units_do_not_matter(space: SearchSpace, separable: Callable[[Architecture], float]) -> None:
    proposed = []
    for scale in (1.0, 1e6):
        searcher = _searcher(space, num_initial=5)
        for number in range(15):
            architecture = searcher.generate_parameters(number)
            searcher.receive_trial_result(number, architecture, scale * separable(architecture))
            proposed.append(architecture)
    assert proposed[:15] == proposed[15:]


def test_proposals_are_random_until_there_are_results(space: SearchSpace) -> None:
    asked: list[object] = []
    searcher = _searcher(space, num_initial=3)
    make = searcher._make_sampler
    searcher._make_sampler = lambda: asked.append(None) or make()  # type: ignore[func-returns-value, method-assign]
    proposed = [searcher.generate_parameters(number) for number in range(64)]
    assert len(set(proposed)) == 64
    assert not asked
    for number in range(3):
        searcher.receive_trial_result(number, proposed[number], float(number))
    searcher.generate_parameters(64)
    assert asked


def test_what_runs_counts_as_bad_until_its_result_comes() -> None:
    space = SearchSpace({f"key{i}": {"_type": "choice", "_value": list(range(4))} for i in range(6)})
    searcher = _searcher(space)
    _tell_random(searcher, lambda architecture: float(architecture.indices["key0"] in [(1,), (2,)]), 40)
    first = searcher.generate_parameters(0)
    states = [trial.state.name for trial in searcher._study.get_trials(deepcopy=False)[1:]]
    assert states == ["COMPLETE"] * 40 + ["RUNNING"]
    searcher.trial_end(0, False)
    assert searcher._study.get_trials(deepcopy=False)[-1].state.name == "FAIL"
    assert len(searcher.state_dict()["trials"]) == 40
    assert first not in [searcher.generate_parameters(number) for number in range(1, 6)]


def test_a_space_is_searched_to_its_end() -> None:
    space = SearchSpace({"op": {"_type": "layer_choice", "_value": ["a", "b"]}, "skip": NESTED.to_dict()["scale"]})
    searcher = _searcher(space, num_initial=1)
    for number in range(4):
        searcher.receive_trial_result(number, searcher.generate_parameters(number), float(number == 0))
    with pytest.raises(NoMoreTrials):
        searcher.generate_parameters(4)


def test_it_beats_random_search(space: SearchSpace, separable: Callable[[Architecture], float]) -> None:
    learned = sum(_search(TpeSearcher(seed=seed), space, separable, 60) for seed in range(3)) / 3
    drawn = sum(_search(make_searcher("random", {"seed": seed}), space, separable, 60) for seed in range(20)) / 20
    assert learned > drawn + 0.25


def test_it_finds_sets_among_a_million() -> None:
    wanted = {"many": {1, 4, 5, 11, 17}, "four": {0, 3, 7, 8}}

    def value(architecture: Architecture) -> float:
        return -float(sum(len(set(architecture[key].indices) ^ wanted[key]) for key in wanted))

    learned = sum(_search(TpeSearcher(seed=seed), NESTED, value, 80) for seed in range(2)) / 2
    drawn = sum(_search(make_searcher("random", {"seed": seed}), NESTED, value, 80) for seed in range(10)) / 10
    assert learned > drawn + 1.5


# --- manners ---------------------------------------------------------------------------------------------------------


def test_nothing_is_printed_and_the_users_level_stays(space: SearchSpace, capfd: pytest.CaptureFixture[str]) -> None:
    for level in (optuna.logging.INFO, optuna.logging.ERROR):
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(level)
        try:
            searcher = _searcher(space, num_initial=2)
            for number in range(5):
                searcher.receive_trial_result(number, searcher.generate_parameters(number), 1.0)
            assert optuna.logging.get_verbosity() == level
        finally:
            optuna.logging.set_verbosity(before)
    assert capfd.readouterr() == ("", "")
    assert not logging.getLogger().handlers or "optuna" not in repr(logging.getLogger().handlers)


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tpe, "optuna", None)
    with pytest.raises(OptionError, match=r"pip install raynas\[optuna\]"):
        TpeSearcher()


@pytest.mark.parametrize("space", [NESTED, *(space for space in example_spaces()[7:] if space.size > 30)], ids=repr)
def test_a_loaded_state_goes_on_with_trials_that_run_and_that_failed(space: SearchSpace) -> None:
    searcher = _searcher(space, num_initial=2)
    for number in range(6):
        proposed = searcher.generate_parameters(number)
        if number % 3:
            searcher.receive_trial_result(number, proposed, float(number % 2))
        searcher.trial_end(number, bool(number % 3))
    running = searcher.generate_parameters(6)
    resumed = _searcher(space, num_initial=2)
    resumed.load_state_dict(json.loads(json.dumps(searcher.state_dict())))
    assert resumed.state_dict() == searcher.state_dict()
    sequences = []
    for each in (searcher, resumed):
        first = each.generate_parameters(7)
        each.receive_trial_result(6, running, 0.7)
        sequences.append([first, *(each.generate_parameters(number) for number in (8, 9))])
    assert sequences[0] == sequences[1]
    assert resumed.state_dict() == searcher.state_dict()


@pytest.mark.parametrize("options", [{"num_initial": -1}, {"num_candidates": 0}])
def test_numbers_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="expected"):
        TpeSearcher(**options)
