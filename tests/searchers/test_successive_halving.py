"""Successive halving: the contract, promotions, what the other searcher is told, the end."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest
from raynas_searchers.grid import GridSearcher
from raynas_searchers.random import RandomSearcher
from raynas_searchers.successive_halving import SuccessiveHalvingSearcher

from raynas.errors import InvalidProposalError, NoMoreTrials, OptionError, SearcherError, UnknownSearcherError
from raynas.explore import EngineOptions, Objective, Proposal, Searcher, SearchLimits, SearchSession, Trial, run_local
from raynas.space import Architecture, SearchSpace
from raynas.testing import SearcherContract

Value = Callable[[Architecture], float]


class TestContract(SearcherContract):
    def make_searcher(self, seed: int) -> SuccessiveHalvingSearcher:
        return SuccessiveHalvingSearcher(seed=seed)


class TestContractOverEvolution(SearcherContract):
    def make_searcher(self, seed: int) -> SuccessiveHalvingSearcher:
        return SuccessiveHalvingSearcher(seed, "regularized_evolution", {"population_size": 5}, max_budget=50, eta=2.5)


class TestContractOverOneThatWaits(SearcherContract):
    seconds_per_thousand = 4.0  # as that searcher's own

    def make_searcher(self, seed: int) -> SuccessiveHalvingSearcher:
        return SuccessiveHalvingSearcher(seed, "spos_evolution", {"population_size": 6, "num_parents": 2}, eta=2)


class Scripted(Searcher):
    """Proposes by number, waits where it says ``None``, notes all that it is told."""

    def __init__(self, *script: int | None) -> None:
        super().__init__()
        self.script, self.told, self.ended = list(script), [], []

    def generate_parameters(self, parameter_id: int) -> Architecture | None:
        if not self.script:
            raise NoMoreTrials("that was all")
        number = self.script.pop(0)
        return None if number is None else self.space.unrank(number)

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        self.told.append((parameter_id, parameters, value))

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self.ended.append((parameter_id, success))


class Plain:
    """No searcher of ours: plain dicts, and no state."""

    def update_search_space(self, search_space: Mapping[str, Any]) -> None:
        self.keys, self.results = list(search_space), []

    def generate_parameters(self, parameter_id: int) -> dict[str, Any]:
        return {key: {"_value": "abc"[parameter_id // 3**i % 3]} for i, key in enumerate(self.keys)}

    def receive_trial_result(self, parameter_id: int, parameters: Mapping[str, Any], value: float) -> None:
        self.results.append((parameter_id, value))


def _searcher(space: SearchSpace, inner: Any, **options: Any) -> SuccessiveHalvingSearcher:
    searcher = SuccessiveHalvingSearcher(searcher=inner, **options)
    searcher.update_search_space(space)
    return searcher


def _ask(searcher: SuccessiveHalvingSearcher, number: int) -> Proposal:
    proposal = searcher.generate_parameters(number)
    assert proposal is not None
    return proposal


def _tell(searcher: SuccessiveHalvingSearcher, number: int, proposal: Proposal, value: float) -> None:
    searcher.receive_trial_result(number, proposal.architecture, value)
    searcher.trial_end(number, True)


def _play(searcher: SuccessiveHalvingSearcher, value: Value, most: int = 1_000) -> list[tuple[Architecture, float | None]]:
    """One at a time, until it is done."""
    played: list[tuple[Architecture, float | None]] = []
    while len(played) < most:
        try:
            proposal = _ask(searcher, len(played))
        except NoMoreTrials:
            break
        _tell(searcher, len(played), proposal, value(proposal.architecture))
        played.append((proposal.architecture, proposal.budget))
    return played


def _rank(played: list[tuple[Architecture, float | None]], space: SearchSpace) -> list[tuple[int, float | None]]:
    numbers = {space.unrank(number): number for number in range(30)}
    return [(numbers[architecture], budget) for architecture, budget in played]


# --- budgets and promotions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "budgets"),
    [
        ({}, (1, 3, 9)),
        ({"max_budget": 81}, (1, 3, 9, 27, 81)),
        ({"min_budget": 2, "max_budget": 20}, (2, 6, 20)),
        ({"max_budget": 2}, (1, 2)),
        ({"max_budget": 1}, (1,)),
        ({"min_budget": 0.1, "max_budget": 0.9}, (0.1, pytest.approx(0.3), 0.9)),
        ({"max_budget": 10, "eta": 1.5}, (1, 1.5, 2.25, 3.375, 5.0625, 10)),
    ],
)
def test_budgets_are_powers_of_eta_up_to_the_highest(options: dict[str, float], budgets: tuple[float, ...]) -> None:
    assert SuccessiveHalvingSearcher(searcher="random", **options).budgets == budgets


def test_one_in_eta_is_promoted_and_the_highest_budget_comes_first(space: SearchSpace) -> None:
    values = {space.unrank(number): value for number, value in enumerate([5.0, 1.0, 3.0, 4.0, 2.0, 9.0, 0.0, 8.0, 1.5, 0.5])}
    played = _rank(_play(_searcher(space, "grid"), lambda architecture: values[architecture], 14), space)
    assert played == [
        *((0, 1), (1, 1), (2, 1), (0, 3)),  # the best of three
        *((3, 1), (4, 1), (5, 1), (5, 3)),  # of six the best two are promoted, and one of them is already
        *((6, 1), (7, 1), (7, 3), (5, 9)),  # now there are three with budget 3
        *((8, 1), (9, 1)),  # the best three of nine are promoted
    ]


def test_every_decision_is_that_of_the_algorithm(space: SearchSpace, separable: Value) -> None:
    """Algorithm 2 worked out anew from all results so far, with eight running that end in any order."""
    searcher, rng, eta = _searcher(space, RandomSearcher(1), eta=2.5, max_budget=20), Random(5), 2.5
    results: dict[float, dict[Architecture, float]] = {budget: {} for budget in searcher.budgets}
    promoted: dict[float, set[Architecture]] = {budget: set() for budget in searcher.budgets}
    running: dict[int, Proposal] = {}
    for number in range(400):
        wanted: list[tuple[float, float]] = []
        for below, budget in reversed(list(zip(searcher.budgets, searcher.budgets[1:], strict=False))):
            ranked = sorted(results[below], key=lambda each: -results[below][each])
            top = [each for each in ranked[: int(len(ranked) / eta)] if each not in promoted[below]]
            if top:
                wanted.append((budget, below))
                expected = top[0]
                break
        proposal = running[number] = _ask(searcher, number)
        if wanted:
            assert (proposal.architecture, proposal.budget) == (expected, wanted[0][0]), number
            promoted[wanted[0][1]].add(expected)
        else:
            assert proposal.budget == 1, number
            assert all(proposal.architecture != other.architecture for at, other in running.items() if at != number)
        if len(running) == 8:
            ended = rng.choice(list(running))
            proposal = running.pop(ended)
            assert proposal.budget is not None
            value = separable(proposal.architecture) + 0.3 * proposal.budget * rng.random()
            results[proposal.budget][proposal.architecture] = value
            _tell(searcher, ended, proposal, value)
    assert all(len(each) > 3 for each in results.values())


def test_an_architecture_proposed_twice_has_one_place(space: SearchSpace) -> None:
    played = _play(
        _searcher(space, Scripted(7, 7, 7, 7, 7, 7, 1, 2)), lambda architecture: float(architecture == space.unrank(7))
    )
    assert [budget for _, budget in played] == [1] * 8 + [3, 9]


# --- what the other searcher is told ----------------------------------------------------------------------------------


def test_it_is_told_each_of_its_proposals_once_with_the_lowest_budget(space: SearchSpace) -> None:
    inner = Scripted(*range(20))
    played = _play(_searcher(space, inner), lambda architecture: float(architecture["layer7"].indices[0]))
    lowest = [number for number, (_, budget) in enumerate(played) if budget == 1]
    assert len(played) > len(lowest) == 20
    expected = [(number, played[number][0], float(played[number][0]["layer7"].indices[0])) for number in lowest]
    assert inner.told == expected
    assert inner.ended == [(number, True) for number in lowest]


def test_a_failure_is_told_and_not_promoted_and_a_failed_promotion_is_neither(space: SearchSpace) -> None:
    inner = Scripted(0, 1, 2, 3, 4, 5, 6)
    searcher = _searcher(space, inner)
    _ask(searcher, 0)
    searcher.trial_end(0, False)
    for number in (1, 2, 3):
        _tell(searcher, number, _ask(searcher, number), float(number))
    promoted = _ask(searcher, 4)
    assert promoted == Proposal(space.unrank(3), 3)
    searcher.trial_end(4, False)
    assert _ask(searcher, 5) == Proposal(space.unrank(4), 1)
    assert inner.ended == [(0, False), (1, True), (2, True), (3, True)]
    assert [number for number, _, _ in inner.told] == [1, 2, 3]


def test_while_it_waits_promotions_go_on(space: SearchSpace) -> None:
    searcher = _searcher(space, Scripted(0, 1, 2, 3, None, None, None, None))
    proposals = [_ask(searcher, number) for number in range(4)]
    assert searcher.generate_parameters(4) is None
    for number in (2, 0, 1):
        _tell(searcher, number, proposals[number], float(number))
    assert _ask(searcher, 4) == Proposal(space.unrank(2), 3)
    assert searcher.generate_parameters(5) is None


def test_the_constraint_reaches_it(space: SearchSpace, separable: Value) -> None:
    searcher = _searcher(space, "local_search")
    searcher.set_constraint(lambda architecture: architecture["layer0"].value == "b")
    assert {architecture["layer0"].value for architecture, _ in _play(searcher, separable, 60)} == {"b"}


def test_imported_results_reach_it_and_are_not_promoted(space: SearchSpace) -> None:
    known = [{"parameter": space.unrank(number).to_dict(), "value": 100.0 + number} for number in range(9)]
    inner = Scripted(20, 21, 22)
    searcher = _searcher(space, inner)
    searcher.import_data(known)
    assert [value for _, _, value in inner.told] == [100.0 + number for number in range(9)]
    assert [number for number, _, _ in inner.told] == [-1 - number for number in range(9)]
    assert {architecture for architecture, _ in _play(searcher, lambda _: 0.0)} == {space.unrank(at) for at in (20, 21, 22)}


def test_an_invalid_proposal_is_told_to_who_made_it(space: SearchSpace) -> None:
    class Invalid(Scripted):
        def generate_parameters(self, parameter_id: int) -> Architecture | None:
            return super().generate_parameters(parameter_id) if parameter_id else {"layer0": "a"}  # type: ignore[return-value]

    inner = Invalid(5)
    searcher = _searcher(space, inner)
    with pytest.raises(InvalidProposalError, match="Invalid, proposal 0"):
        searcher.generate_parameters(0)
    searcher.trial_end(0, False)
    assert inner.ended == [(0, False)]
    assert _ask(searcher, 1) == Proposal(space.unrank(5), 1)


def test_any_object_with_the_protocol_may_propose(space: SearchSpace, separable: Value) -> None:
    inner = Plain()
    searcher = _searcher(space, inner)
    played = _play(searcher, separable, 60)
    assert {budget for _, budget in played} == {1, 3, 9}
    lowest = [(number, separable(each)) for number, (each, budget) in enumerate(played) if budget == 1]
    assert [value for _, value in inner.results] == [value for _, value in lowest]


def test_without_a_state_of_the_other_there_is_none(space: SearchSpace) -> None:
    for inner in (Plain(), Scripted(1)):
        assert _searcher(space, inner).state_dict() is None
    assert _searcher(space, GridSearcher()).state_dict() is not None


def test_the_state_of_another_searcher_is_refused(space: SearchSpace) -> None:
    state = _searcher(space, "grid").state_dict()
    assert state is not None
    with pytest.raises(SearcherError, match="RandomSearcher cannot load the state"):
        _searcher(space, "random").load_state_dict(state)


# --- the end ----------------------------------------------------------------------------------------------------------


def test_at_the_end_the_best_left_goes_on_to_the_highest_budget(space: SearchSpace) -> None:
    values = {space.unrank(number): float(number) for number in range(30)}
    played = _rank(_play(_searcher(space, Scripted(1, 2)), lambda each: values[each]), space)
    assert played == [(1, 1), (2, 1), (2, 3), (2, 9)]
    played = _rank(_play(_searcher(space, Scripted(0, 5, 1, 2, 3, 4)), lambda each: values[each]), space)
    assert played == [(0, 1), (5, 1), (1, 1), (5, 3), (2, 1), (3, 1), (4, 1), (4, 3), (5, 9)]


def test_at_the_end_it_waits_for_what_runs(space: SearchSpace) -> None:
    searcher = _searcher(space, Scripted(0, 1))
    first, second = (_ask(searcher, number) for number in range(2))
    assert searcher.generate_parameters(2) is None
    _tell(searcher, 0, first, 5.0)
    assert searcher.generate_parameters(2) is None, "the other one may be the best"
    _tell(searcher, 1, second, 6.0)
    last = _ask(searcher, 2)
    assert last == Proposal(space.unrank(1), 3)
    assert searcher.generate_parameters(3) is None


def test_at_the_end_the_next_best_takes_the_place_of_one_that_fails(space: SearchSpace) -> None:
    searcher = _searcher(space, Scripted(0, 1), max_budget=3)
    for number in range(2):
        _tell(searcher, number, _ask(searcher, number), float(number))
    for number in (1, 0):
        assert _ask(searcher, 2 + number) == Proposal(space.unrank(number), 3)
        searcher.trial_end(2 + number, False)
    with pytest.raises(NoMoreTrials):
        searcher.generate_parameters(4)


def test_with_one_budget_there_are_no_promotions(space: SearchSpace) -> None:
    played = _play(_searcher(space, Scripted(*range(9)), max_budget=1), lambda _: 1.0)
    assert [budget for _, budget in played] == [1] * 9


# --- in a search ------------------------------------------------------------------------------------------------------


def test_in_a_search_no_architecture_runs_twice_with_one_budget(space: SearchSpace, separable: Value) -> None:
    def evaluate(trial: Trial) -> None:
        assert trial.budget is not None
        trial.report(sum=separable(trial.architecture) * trial.budget)

    searcher = SuccessiveHalvingSearcher(searcher="regularized_evolution", searcher_options={"population_size": 4})
    session = SearchSession(searcher, space, Objective("sum", "max"), limits=SearchLimits(200))
    run_local(session, evaluate, EngineOptions(max_concurrent=4))
    run = [(record.architecture.digest, record.budget) for record in session.records.values() if record.state == "completed"]
    assert len(run) == len(set(run)) == 200
    by_budget = [sum(budget == each for _, budget in run) for each in (1, 3, 9)]
    assert by_budget[0] > by_budget[1] > by_budget[2] > 0
    best = session.best()
    assert best is not None
    assert best.budget == 9


def test_it_beats_random_search_even_where_the_budget_says_nothing(mean_best: Callable[..., float]) -> None:
    for num_trials in (50, 100):
        assert mean_best("successive_halving", num_trials) > mean_best("random", num_trials) + 0.1


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"min_budget": 0},
        {"min_budget": 10},
        {"max_budget": float("inf")},
        {"max_budget": float("nan")},
        {"eta": 1},
        {"eta": float("nan")},
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="expected 0 < min_budget <= max_budget and eta > 1"):
        SuccessiveHalvingSearcher(**options)


def test_the_other_searcher_is_made_with_the_seed_and_its_options(space: SearchSpace) -> None:
    searcher, rng = _searcher(space, "local_search", seed=4, searcher_options={"num_initial": 2}), Random(4)
    started = _play(searcher, lambda _: 1.0, 2)
    assert [architecture for architecture, _ in started] == [space.sample(rng) for _ in range(2)]
    with pytest.raises(OptionError, match="no option 'numb_initial'"):
        SuccessiveHalvingSearcher(searcher_options={"numb_initial": 2})
    with pytest.raises(UnknownSearcherError, match="'nobody'"):
        SuccessiveHalvingSearcher(searcher="nobody")
    with pytest.raises(OptionError, match="given by name; found a GridSearcher"):
        SuccessiveHalvingSearcher(searcher=GridSearcher(), searcher_options={"seed": 1})


def test_without_a_seed_none_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr("raynas_searchers.successive_halving.make_searcher", lambda name, options: given.append(options))
    SuccessiveHalvingSearcher(None, "unseeded", {"size": 3})
    SuccessiveHalvingSearcher(2, "seeded", {"size": 3})
    assert given == [{"size": 3}, {"seed": 2, "size": 3}]
