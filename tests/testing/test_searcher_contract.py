"""The contract catches what is wrong with a searcher, by the test that is named after it."""

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raynas.errors import NoMoreTrials
from raynas.explore import Searcher
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
    """A grid, with nothing but the three methods."""

    def update_search_space(self, search_space: SearchSpace) -> None:
        self.space = search_space

    def generate_parameters(self, parameter_id: int) -> dict[str, Any]:
        if parameter_id >= self.space.size:
            raise NoMoreTrials("that was the grid")
        return self.space.unrank(parameter_id).to_dict()

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: float) -> None: ...


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


# --- broken ones -----------------------------------------------------------------------------------------------------


class OutOfRange(Good):
    def generate_parameters(self, parameter_id: int) -> Any:
        return {key: {"_idx": len(domain.candidates)} for key, domain in self.space.items()}


class InactiveKeys(Good):
    def generate_parameters(self, parameter_id: int) -> Any:
        return {key: {"_idx": domain.option(0) if domain.kind == "input_choice" else 0} for key, domain in self.space.items()}


class WaitsForever(Good):
    def generate_parameters(self, parameter_id: int) -> Any:
        return super().generate_parameters(parameter_id) if parameter_id < 5 else None


class WaitsForFailed(Good):
    """Waits until every trial has had a result, which failed ones never have."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.running: set[int] = set()

    def generate_parameters(self, parameter_id: int) -> Any:
        if len(self.running) >= 3:
            return None
        self.running.add(parameter_id)
        return super().generate_parameters(parameter_id)

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        self.running.discard(parameter_id)


class InOrderOnly(Good):
    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.last = -1

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        assert parameter_id > self.last, "results out of order"
        self.last = parameter_id


class NeedsResults(Good):
    """Counts on a result before each end."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.values: dict[int, float] = {}

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        self.values[parameter_id] = value

    def trial_end(self, parameter_id: int, success: bool) -> None:
        assert parameter_id in self.values, "an end without a result"


class DividesByTheSpread(Good):
    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.values: list[float] = []

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        self.values.append(value)

    def generate_parameters(self, parameter_id: int) -> Any:
        spread = max(self.values) - min(self.values) if len(self.values) > 9 else 1.0
        assert spread > 0, "no spread"
        return super().generate_parameters(parameter_id)


class TenSlots(Good):
    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.slots = list(range(10))

    def generate_parameters(self, parameter_id: int) -> Any:
        assert self.slots, "no slot is free"
        self.slots.pop()
        return super().generate_parameters(parameter_id)

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self.slots.append(0)


class ImportsBadly(Good):
    def import_data(self, data: Any) -> None:
        assert not data, "cannot import"


class Unseeded(Good):
    def __init__(self, seed: int = 0) -> None:
        super().__init__(random.SystemRandom().randrange(2**32))


class IgnoresItsSeed(Good):
    def __init__(self, seed: int = 0) -> None:
        super().__init__(0)


class SharesAGenerator(Good):
    shared = random.Random(0)

    def update_search_space(self, search_space: SearchSpace) -> None:
        super().update_search_space(search_space)
        self.rng = SharesAGenerator.shared
        self.rng.seed(0)


class LossyState(Good):
    """Forgets what it was told."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.total = 0.0

    def generate_parameters(self, parameter_id: int) -> Any:
        return self.space.unrank(int(self.rng.random() * 1000 + self.total * 1e6) % self.space.size)

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        self.total += value


class StateIsNoJson(Good):
    def state_dict(self) -> dict[str, Any]:
        return {"rng": {self.rng.getstate()}}


class StateDraws(Good):
    def state_dict(self) -> dict[str, Any]:
        self.rng.random()
        return super().state_dict()


class StateIsAlive(Good):
    """Hands out its own list instead of a copy."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.ids: list[int] = []

    def generate_parameters(self, parameter_id: int) -> Any:
        self.ids.append(parameter_id)
        return super().generate_parameters(parameter_id)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"ids": self.ids}


class GlobalRandom(Good):
    def generate_parameters(self, parameter_id: int) -> Any:
        random.random()
        return super().generate_parameters(parameter_id)


class GlobalNumpy(Good):
    def generate_parameters(self, parameter_id: int) -> Any:
        np.random.rand()
        return super().generate_parameters(parameter_id)


class Slow(Good):
    def generate_parameters(self, parameter_id: int) -> Any:
        time.sleep(0.0005)
        return super().generate_parameters(parameter_id)


class EndsWithAnError(InOrder):
    def generate_parameters(self, parameter_id: int) -> dict[str, Any]:
        if parameter_id >= self.space.size:
            raise StopIteration
        return super().generate_parameters(parameter_id)


class RaisesOnConstraint(Good):
    def set_constraint(self, allowed: Any) -> None:
        self.generate_parameters = lambda _: 1 / 0  # type: ignore[assignment]


class ProposesNothing(Searcher):
    """Says that it is done at once."""


BROKEN: list[tuple[Callable[..., Any], str]] = [
    (OutOfRange, "every_proposal_fits_its_space"),
    (InactiveKeys, "every_proposal_fits_its_space"),
    (WaitsForever, "it_never_waits_with_nothing_running"),
    (WaitsForFailed, "it_never_waits_with_nothing_running"),
    (WaitsForFailed, "failed_trials_have_no_result"),
    (InOrderOnly, "results_may_come_out_of_order"),
    (NeedsResults, "failed_trials_have_no_result"),
    (DividesByTheSpread, "all_values_may_be_equal"),
    (TenSlots, "sixty_four_may_be_outstanding"),
    (ImportsBadly, "results_may_be_imported_first"),
    (Unseeded, "the_same_seed_gives_the_same_sequence"),
    (IgnoresItsSeed, "another_seed_gives_another_sequence"),
    (SharesAGenerator, "two_searchers_do_not_touch_each_other"),
    (LossyState, "its_state_continues_the_same_sequence"),
    (StateIsNoJson, "its_state_continues_the_same_sequence"),
    (StateDraws, "its_state_continues_the_same_sequence"),
    (StateIsAlive, "its_state_continues_the_same_sequence"),
    (GlobalRandom, "the_global_generators_are_not_used"),
    (GlobalNumpy, "the_global_generators_are_not_used"),
    (Slow, "a_thousand_proposals_are_fast"),
    (lambda _: EndsWithAnError(), "a_small_space_comes_to_its_end"),
    (RaisesOnConstraint, "the_constraint_is_kept"),
    (ProposesNothing, "a_small_space_comes_to_its_end"),
    (ProposesNothing, "every_proposal_fits_its_space"),
]


class Contract(SearcherContract):
    """The contract of whatever it is given."""

    seconds_per_thousand = 0.4

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def make_searcher(self, seed: int) -> Any:
        return self.make(seed)


@pytest.mark.parametrize(("broken", "named"), BROKEN, ids=lambda value: getattr(value, "__name__", value))
def test_what_is_broken_fails_the_test_named_after_it(broken: Callable[[int], Any], named: str) -> None:
    with pytest.raises(AssertionError):
        getattr(Contract(broken), f"test_{named}")()


def test_every_test_of_the_contract_catches_something() -> None:
    tests = {name.removeprefix("test_") for name in dir(SearcherContract) if name.startswith("test_")}
    assert tests == {named for _, named in BROKEN}


def test_make_searcher_must_be_written() -> None:
    with pytest.raises(NotImplementedError, match="make_searcher"):
        SearcherContract().test_every_proposal_fits_its_space()
