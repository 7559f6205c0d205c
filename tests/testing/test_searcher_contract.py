"""Good searchers of every make pass the whole contract; slow ones and those that spoil a search are caught."""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from raynas.errors import NoMoreTrials
from raynas.explore import Archive, Proposal, Searcher
from raynas.space import Architecture, SearchSpace, generator_state, restore_generator
from raynas.testing import SearcherContract


class Good(Searcher):
    """Samples at random, and keeps its state."""

    def generate_parameters(self, parameter_id: int) -> Any:
        return self.space.sample(self.rng)

    def state_dict(self) -> dict[str, Any]:
        return {"rng": generator_state(self.rng)}

    def load_state_dict(self, state: Any) -> None:
        restore_generator(self.rng, state["rng"])


class TestGood(SearcherContract):
    def make_searcher(self, seed: int) -> Good:
        return Good(seed)


class InOrder:
    """A grid, with nothing but the three methods; it is handed plain dicts."""

    def update_search_space(self, search_space: dict[str, Any]) -> None:
        self.space = SearchSpace(search_space)

    def generate_parameters(self, parameter_id: int) -> dict[str, Any]:
        if parameter_id >= self.space.size:
            raise NoMoreTrials("that was the grid")
        return self.space.unrank(parameter_id).to_dict()

    def receive_trial_result(self, parameter_id: int, parameters: dict[str, Any], value: float) -> None: ...


class TestPlainObject(SearcherContract):
    seed_matters = False

    def make_searcher(self, seed: int) -> InOrder:
        return InOrder()


class Hasty(Good):
    """Not deterministic, and says so."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(random.SystemRandom().randrange(2**32))


class TestNotDeterministic(SearcherContract):
    deterministic = False

    def make_searcher(self, seed: int) -> Hasty:
        return Hasty(seed)


class Rungs(Searcher):
    """Each architecture with a budget of 1 and, once its result is there, with one of 3."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.short: set[int] = set()
        self.good: list[Architecture] = []

    def update_search_space(self, search_space: SearchSpace) -> None:
        super().update_search_space(search_space)
        self.archive = Archive(self)

    def generate_parameters(self, parameter_id: int) -> Proposal:
        if self.good:
            return Proposal(self.good.pop(), 3.0)
        self.short.add(parameter_id)
        return Proposal(self.archive.draw(), 1.0)

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        super().receive_trial_result(parameter_id, parameters, value)
        if parameter_id in self.short:
            self.good.append(parameters)


class TestBudgets(SearcherContract):
    def make_searcher(self, seed: int) -> Rungs:
        return Rungs(seed)


class Ridge(Searcher):
    """Fits ridge regression after four results, and proposes the best of ten; of several objectives it adds up."""

    multi_objective = True

    def update_search_space(self, search_space: SearchSpace) -> None:
        super().update_search_space(search_space)
        self.archive = Archive(self)

    def generate_parameters(self, parameter_id: int) -> Architecture:
        if len(self.archive.results) < 4:
            return self.archive.draw()
        known = np.array([self.space.encode(result.architecture) for result in self.archive.results])
        values = np.array([result.value for result in self.archive.results])
        weights = np.linalg.solve(known.T @ known + np.eye(known.shape[1]), known.T @ values)
        drawn = [self.space.sample(self.rng) for _ in range(10)]
        best = max(drawn, key=lambda each: float(np.array(self.space.encode(each)) @ weights))
        return self.archive.draw(lambda: best)

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        super().receive_trial_result(parameter_id, parameters, value)
        self.archive.add(parameters, sum(value.values()) if isinstance(value, Mapping) else value)

    def state_dict(self) -> dict[str, Any]:
        return {"rng": generator_state(self.rng), "archive": self.archive.state_dict()}

    def load_state_dict(self, state: Any) -> None:
        restore_generator(self.rng, state["rng"])
        self.archive.load_state_dict(state["archive"])


class TestPredictor(SearcherContract):
    predictor = True

    def make_searcher(self, seed: int) -> Ridge:
        return Ridge(seed)


# --- broken ones -----------------------------------------------------------------------------------------------------


class Slow(Good):
    def generate_parameters(self, parameter_id: int) -> Any:
        time.sleep(0.0003)
        return super().generate_parameters(parameter_id)


class SlowFit(Good):
    """Of two milliseconds for each hundred results."""

    num_results = 0

    def generate_parameters(self, parameter_id: int) -> Any:
        time.sleep(self.num_results // 100 * 0.002)
        return super().generate_parameters(parameter_id)

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        self.num_results += 1


class SlowFitNow(SlowFit):
    """Hides it behind nine that cost nothing."""

    def generate_parameters(self, parameter_id: int) -> Any:
        time.sleep(self.num_results // 100 * 0.02 if parameter_id % 10 == 9 else 0)
        return Good.generate_parameters(self, parameter_id)


class EndsWithAnError(InOrder):
    def generate_parameters(self, parameter_id: int) -> dict[str, Any]:
        if parameter_id >= self.space.size:
            raise StopIteration
        return super().generate_parameters(parameter_id)


class RunsTheSameAgain(Good):
    """With a budget that makes it another trial, for ever."""

    def generate_parameters(self, parameter_id: int) -> Any:
        return Proposal(super().generate_parameters(parameter_id), float(parameter_id))


class WaitsForForbidden(Good):
    """Waits for results of what was forbidden."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.running: set[int] = set()

    def generate_parameters(self, parameter_id: int) -> Any:
        if len(self.running) >= 8:
            return None
        self.running.add(parameter_id)
        return super().generate_parameters(parameter_id)

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        self.running.discard(parameter_id)


class RaisesOnConstraint(Good):
    def set_constraint(self, allowed: Any) -> None:
        self.generate_parameters = lambda _: 1 / 0  # type: ignore[assignment]


class Stubborn(Searcher):
    """Proposes the next architecture once it has the result of the last: what is forbidden, for ever."""

    num_results = 0

    def generate_parameters(self, parameter_id: int) -> Any:
        return self.space.unrank(self.num_results)

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        self.num_results += 1


class ProposesEachOften(Searcher):
    """What is forbidden comes back a hundred times."""

    def generate_parameters(self, parameter_id: int) -> Any:
        return self.space.unrank(parameter_id // 100)


class ProposesNothing(Searcher):
    """Says that it is done at once."""


BROKEN: list[tuple[Callable[[int], Any], str]] = [
    (Slow, "a_thousand_proposals_are_fast"),
    (SlowFit, "proposals_at_five_hundred_results_are_fast"),
    (SlowFitNow, "proposals_at_five_hundred_results_are_fast"),
    (lambda _: EndsWithAnError(), "a_small_space_comes_to_its_end"),
    (RunsTheSameAgain, "a_small_space_comes_to_its_end"),
    (WaitsForForbidden, "a_small_space_comes_to_its_end"),
    (ProposesNothing, "a_small_space_comes_to_its_end"),
    (RaisesOnConstraint, "the_constraint_is_kept"),
    (Stubborn, "the_constraint_is_kept"),
    (ProposesEachOften, "the_constraint_is_kept"),
]


@pytest.mark.parametrize(("broken", "named"), BROKEN, ids=lambda value: getattr(value, "__name__", value))
def test_what_is_broken_fails_the_test_named_after_it(
    broken: Callable[[int], Any], named: str, catches: Callable[..., None]
) -> None:
    catches(broken, named, predictor="five_hundred" in named, seconds_per_thousand=0.2, seconds_per_proposal=0.008)


def test_every_test_of_the_contract_is_one_of_proposals_of_sequences_or_catches_something_here() -> None:
    tests = {name.removeprefix("test_") for name in vars(SearcherContract) if name.startswith("test_")}
    assert tests == {named for _, named in BROKEN}
    assert sum(name.startswith("test_") for name in dir(SearcherContract)) == 18


def test_one_that_is_slow_once_is_not_slow(contract: Callable[..., SearcherContract]) -> None:
    class SlowOnce(Good):
        pauses = [0.5]  # noqa: RUF012

        def generate_parameters(self, parameter_id: int) -> Any:
            time.sleep(self.pauses.pop() if self.pauses else 0)
            return super().generate_parameters(parameter_id)

    contract(SlowOnce, seconds_per_thousand=0.4).test_a_thousand_proposals_are_fast()
    assert not SlowOnce.pauses


@pytest.mark.parametrize("predictor", [False, True])
def test_each_is_timed_in_one_way(predictor: bool, contract: Callable[..., SearcherContract]) -> None:
    never = contract(Good, predictor=predictor, seconds_per_thousand=0.0, seconds_per_proposal=0.0)
    ways = [never.test_a_thousand_proposals_are_fast, never.test_proposals_at_five_hundred_results_are_fast]
    ways[not predictor]()
    with pytest.raises(AssertionError, match="allowed are"):
        ways[predictor]()


def test_a_predictor_without_import_data_is_timed_as_well(contract: Callable[..., SearcherContract]) -> None:
    told = contract(lambda _: InOrder(), predictor=True)
    told.test_proposals_at_five_hundred_results_are_fast()
