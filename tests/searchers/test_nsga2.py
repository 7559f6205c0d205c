"""NSGA-II: the contract with one, two and constrained objectives; the tournament, the selection, the constraints."""

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest
from raynas_searchers.nsga2 import Nsga2Searcher

from raynas.errors import OptionError, ResultError, SearcherError
from raynas.explore import Archive, Objective, Searcher, SearchLimits, SearchSession, hypervolume, make_searcher
from raynas.space import Architecture, SearchSpace
from raynas.testing import SearcherContract

WIDE = SearchSpace({f"key{i}": {"_type": "choice", "_value": list(range(10))} for i in range(30)})


def _cost(architecture: Architecture) -> float:
    return sum(sum(indices) for indices in architecture.indices.values())


class TwoObjectives(Nsga2Searcher):
    """Told one value, as the contract tells it, it makes two of it that contradict each other."""

    multi_objective = False  # it makes two of one itself

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        super().receive_trial_result(parameter_id, parameters, {"score": value, "cost": -_cost(parameters)})


class TestContract(SearcherContract):
    def make_searcher(self, seed: int) -> Nsga2Searcher:
        return Nsga2Searcher(seed=seed)


class TestContractWithTwoObjectivesAndAConstraint(SearcherContract):
    proposals_per_space = 15
    seconds_per_thousand = 2.0

    def make_searcher(self, seed: int) -> Nsga2Searcher:
        return TwoObjectives(seed=seed, population_size=5, at_least={"score": 0.3, "cost": -4})


def _searcher(space: SearchSpace, **options: Any) -> Nsga2Searcher:
    searcher = Nsga2Searcher(**options)
    searcher.update_search_space(space)
    return searcher


def _fill(searcher: Nsga2Searcher, values: list[Any], start: int = 0) -> list[Architecture]:
    """Tell these values, one for each of the next proposals."""
    told = []
    for number, value in enumerate(values, start):
        architecture = searcher.generate_parameters(number)
        searcher.receive_trial_result(number, architecture, value)
        searcher.trial_end(number, True)
        told.append(architecture)
    return told


def _two(*points: tuple[float, float]) -> list[dict[str, float]]:
    return [{"accuracy": accuracy, "latency": -latency} for accuracy, latency in points]


def _kept(searcher: Nsga2Searcher) -> list[tuple[float, ...]]:
    """The population's objectives, in the order in which they joined; latency in its own sign."""
    return [(accuracy, *(-latency for latency in rest)) for (accuracy, *rest), _ in searcher.state_dict()["population"]]


def _differences(first: Architecture, second: Architecture) -> int:
    return sum(first.indices[key] != second.indices[key] for key in first)


# --- children --------------------------------------------------------------------------------------------------------


def test_proposals_are_random_until_the_population_is_there_however_many_run(space: SearchSpace) -> None:
    searcher, other = _searcher(space, seed=3, population_size=4), Searcher(3)
    other.update_search_space(space)
    archive = Archive(other)
    proposed = [searcher.generate_parameters(number) for number in range(64)]
    for number in (5, 60, 2):
        searcher.receive_trial_result(number, proposed[number], 0.5)
    proposed.append(searcher.generate_parameters(64))
    assert proposed == [archive.draw() for _ in range(65)]


def test_what_was_imported_are_the_first_parents() -> None:
    rng = Random(0)
    known = [WIDE.sample(rng) for _ in range(4)]
    searcher = _searcher(WIDE, population_size=4, crossover_rate=0.0)
    searcher.import_data([{"parameter": each.to_dict(), "value": 0.1} for each in known])
    assert min(_differences(each, searcher.generate_parameters(0)) for each in known) < 10


def test_parents_win_a_tournament_of_two() -> None:
    """Of N members the k-th best, from 0, is drawn with probability (2 (N - k) - 1) / N²."""
    searcher = _searcher(WIDE, population_size=4, crossover_rate=0.0, mutation_rate=0.0)
    members = _fill(searcher, [0.1, 0.9, 0.5, 0.3])
    wins = [0] * 4
    for number in range(4, 404):
        child = searcher.generate_parameters(number)
        (parent,) = (at for at, member in enumerate(members) if _differences(member, child) == 1)
        wins[parent] += 1
    expected = [400 * share / 16 for share in (1, 7, 5, 3)]
    assert sum((won - mean) ** 2 / mean for won, mean in zip(wins, expected, strict=True)) < 16.3  # 1 in 1,000 by chance


def test_of_one_rank_the_member_with_more_room_wins() -> None:
    searcher = _searcher(WIDE, population_size=4, crossover_rate=0.0, mutation_rate=0.0)
    members = _fill(searcher, _two((0.9, 9.0), (0.1, 1.0), (0.80, 8.0), (0.81, 8.1)))
    children = [searcher.generate_parameters(number) for number in range(4, 404)]
    wins = [sum(_differences(member, child) == 1 for child in children) for member in members]
    assert sum(wins) == 400
    expected = (150, 150, 75, 25)  # the ends have infinite room, of the others the one beside the larger gap has more
    assert sum((won - mean) ** 2 / mean for won, mean in zip(wins, expected, strict=True)) < 16.3  # 1 in 1,000 by chance


def test_a_child_has_its_keys_from_two_parents() -> None:
    searcher = _searcher(WIDE, population_size=2, crossover_rate=1.0, mutation_rate=0.0)
    mother, father = _fill(searcher, [0.5, 0.5])
    shares = []
    for number in range(2, 42):
        child = searcher.generate_parameters(number)
        if min(_differences(mother, child), _differences(father, child)) > 1:  # else the same parent was drawn twice
            assert all(child.indices[key] in (mother.indices[key], father.indices[key]) for key in WIDE)
            shares.append(_differences(mother, child) / _differences(mother, father))
    assert len(shares) > 10
    assert 0.35 < sum(shares) / len(shares) < 0.65


@pytest.mark.parametrize(("rate", "low", "high"), [(None, 1.0, 2.2), (0.5, 10.0, 14.5)])
def test_the_mutation_rate_is_a_share_of_the_keys(rate: float | None, low: float, high: float) -> None:
    searcher = _searcher(WIDE, population_size=2, crossover_rate=0.0, mutation_rate=rate)
    members = _fill(searcher, [0.5, 0.6])
    children = [searcher.generate_parameters(number) for number in range(2, 202)]
    changed = [min(_differences(member, child) for member in members) for child in children]
    assert low <= sum(changed) / 200 <= high
    assert min(changed) >= 1


def test_nothing_is_proposed_twice(space: SearchSpace, separable: Callable[[Architecture], float]) -> None:
    searcher, digests = _searcher(space, population_size=4), set()
    for number in range(1_000):
        architecture = searcher.generate_parameters(number)
        searcher.receive_trial_result(number, architecture, separable(architecture))
        digests.add(architecture.digest)
    assert len(digests) == 1_000


# --- selection -------------------------------------------------------------------------------------------------------


def test_the_member_of_the_last_front_leaves() -> None:
    searcher = _searcher(WIDE, population_size=3)
    _fill(searcher, _two((0.9, 9.0), (0.5, 5.0), (0.6, 6.0)))
    _fill(searcher, _two((0.7, 4.0)), start=3)  # dominates two; of these none dominates the other
    assert _kept(searcher) == [(0.9, 9.0), (0.6, 6.0), (0.7, 4.0)]  # each has all the room: the older of the two leaves
    _fill(searcher, _two((0.1, 9.5)), start=4)
    assert _kept(searcher) == [(0.9, 9.0), (0.6, 6.0), (0.7, 4.0)]


def test_of_one_front_the_most_crowded_leaves() -> None:
    searcher = _searcher(WIDE, population_size=4)
    _fill(searcher, _two((0.1, 1.0), (0.5, 5.0), (0.52, 5.2), (0.9, 9.0), (0.7, 7.0)))
    assert _kept(searcher) == [(0.1, 1.0), (0.5, 5.0), (0.9, 9.0), (0.7, 7.0)]  # the one between 0.5 and 0.7


def test_with_one_objective_the_best_stay() -> None:
    searcher = _searcher(WIDE, population_size=3)
    _fill(searcher, [0.5, 0.1, 0.7, 0.3, 0.2, 0.9])
    assert _kept(searcher) == [(0.5,), (0.7,), (0.9,)]


def test_metrics_may_come_in_any_order() -> None:
    searcher = _searcher(WIDE, population_size=2)
    _fill(searcher, [{"a": 1.0, "b": 5.0}, {"b": 7.0, "a": 0.5}, {"b": 4.0, "a": 0.9}])
    assert _kept(searcher) == [(1.0, -5.0), (0.5, -7.0)]


def _contradicting(separable: Callable[[Architecture], float]) -> Callable[[Architecture], dict[str, float]]:
    return lambda architecture: {"sum": separable(architecture), "cost": -_cost(architecture)}


def _volume(searcher: Any, space: SearchSpace, value: Callable[[Architecture], Mapping[str, float]], at_once: int = 1) -> float:
    limits = SearchLimits(num_trials=150)
    session, running = SearchSession(searcher, space, Objective(("sum", "cost"), ("max", "max")), limits=limits), []
    while True:
        while len(running) < at_once and (record := session.ask()) is not None:
            running.append(record)
        if not running:
            break
        ended = running.pop(0)
        session.tell(ended.id, dict(value(ended.architecture)))
    assert session.error is None
    assert session.num_spent == 150
    return hypervolume([tuple(record.metrics.values()) for record in session.records.values()], (2.0, -12.0))


class _RandomWithSeveral(Searcher):
    multi_objective = True

    def generate_parameters(self, parameter_id: int) -> Architecture:
        return self.space.sample(self.rng)


def test_its_front_has_more_volume_than_that_of_random_search(space: SearchSpace, separable: Any) -> None:
    value = _contradicting(separable)
    random = sum(_volume(_RandomWithSeveral(seed), space, value) for seed in range(8)) / 8
    for at_once, better in ((1, 1.2), (64, 1.08)):
        volumes = [_volume(Nsga2Searcher(seed), space, value, at_once) for seed in range(8)]
        assert sum(volumes) / 8 > better * random


def test_with_one_objective_it_beats_random_search(mean_best: Callable[..., float]) -> None:
    assert mean_best("nsga2") > mean_best("random") + 0.1


# --- constrained domination ------------------------------------------------------------------------------------------


def test_what_keeps_the_limits_goes_before_what_breaks_them() -> None:
    searcher = _searcher(WIDE, population_size=2, at_least={"latency": -5.0})
    _fill(searcher, _two((0.9, 5.1), (0.1, 4.0), (0.2, 5.0)))
    assert _kept(searcher) == [(0.1, 4.0), (0.2, 5.0)]


def test_of_those_that_break_limits_the_lower_violation_wins() -> None:
    searcher = _searcher(WIDE, population_size=2, at_least={"latency": -5.0})
    _fill(searcher, _two((0.9, 9.0), (0.1, 7.0), (0.99, 7.5), (0.2, 6.0)))
    assert _kept(searcher) == [(0.1, 7.0), (0.2, 6.0)]


def test_violations_are_shares_of_their_limits_and_add_up() -> None:
    searcher = _searcher(WIDE, population_size=2, at_least={"accuracy": 0.5, "latency": -100.0})
    _fill(searcher, _two((0.4, 100.0), (0.5, 130.0), (0.45, 115.0)))  # 0.2, 0.3, 0.1 + 0.15
    assert _kept(searcher) == [(0.4, 100.0), (0.45, 115.0)]


def test_a_limit_of_zero_is_no_division_by_it() -> None:
    searcher = _searcher(WIDE, population_size=2, at_least={"accuracy": 0.0})
    _fill(searcher, _two((-3.0, 1.0), (-1.0, 1.0), (-2.0, 1.0)))
    assert _kept(searcher) == [(-1.0, 1.0), (-2.0, 1.0)]


def test_the_population_comes_to_keep_the_limits(space: SearchSpace, separable: Callable[[Architecture], float]) -> None:
    searcher = _searcher(space, at_least={"cost": -4.0})
    value = _contradicting(separable)
    for number in range(200):
        architecture = searcher.generate_parameters(number)
        searcher.receive_trial_result(number, architecture, value(architecture))
    points = [tuple(point) for point, _ in searcher.state_dict()["population"]]
    assert len(points) == 20
    assert all(cost >= -4.0 for _, cost in points)


@pytest.mark.parametrize(
    ("value", "match"),
    [({"accuracy": 0.5, "params": -3.0}, "'latency'.*accuracy, params"), (0.5, "'latency'.*a single value")],
)
def test_a_limit_of_what_is_not_measured_is_refused(value: Any, match: str) -> None:
    searcher = _searcher(WIDE, at_least={"latency": -5.0})
    with pytest.raises(OptionError, match=match):
        _fill(searcher, [value])
    assert searcher.state_dict()["population"] == []


def test_a_search_says_that_a_limit_names_no_objective(space: SearchSpace) -> None:
    searcher = make_searcher("nsga2", {"at_least": {"latency": -5.0}})
    session = SearchSession(searcher, space, Objective(("a", "b"), ("max", "min")), limits=SearchLimits(5))
    record = session.ask()
    assert record is not None
    session.tell(record.id, {"a": 1.0, "b": 2.0})
    assert isinstance(session.error, SearcherError)
    assert "at_least names 'latency'" in str(session.error)


# --- the state, and what is refused ----------------------------------------------------------------------------------


def test_its_state_holds_several_objectives(space: SearchSpace, separable: Callable[[Architecture], float]) -> None:
    value, options = _contradicting(separable), {"population_size": 6, "at_least": {"cost": -5.0}}
    first = _searcher(space, **options)
    outstanding = [first.generate_parameters(number) for number in range(8)]
    for number in range(1, 8):
        first.receive_trial_result(number, outstanding[number], value(outstanding[number]))
    second = _searcher(space, seed=5, **options)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for searcher in (first, second):
        searcher.receive_trial_result(0, outstanding[0], value(outstanding[0]))
    for number in range(8, 40):
        architecture = first.generate_parameters(number)
        assert second.generate_parameters(number) == architecture
        for searcher in (first, second):
            searcher.receive_trial_result(number, architecture, value(architecture))


@pytest.mark.parametrize("other", [0.5, {"a": 1.0}, {"a": 1.0, "c": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}])
def test_all_results_have_the_same_objectives(other: Any) -> None:
    searcher = _searcher(WIDE)
    _fill(searcher, [{"a": 1.0, "b": 2.0}])
    with pytest.raises(ResultError, match=r"trial 1 was told .*; expected, as of trials before, a, b"):
        _fill(searcher, [other], start=1)
    assert len(searcher.state_dict()["population"]) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"population_size": 1},
        {"crossover_rate": 1.5},
        {"mutation_rate": -0.1},
        {"at_least": {"latency": float("nan")}},
        {"at_least": {"latency": "5"}},
        {"at_least": {"latency": True}},
        {"at_least": ["latency"]},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="expected"):
        Nsga2Searcher(**options)
