"""Searchers whose proposals are wrong, and the tests of the contract that are named after what is wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from raynas.explore import Searcher
from raynas.space import Architecture, SearchSpace
from raynas.testing.proposal_contract import ProposalContract


class Good(Searcher):
    """Samples at random."""

    def generate_parameters(self, parameter_id: int) -> Any:
        return self.space.sample(self.rng)


class OutOfRange(Good):
    def generate_parameters(self, parameter_id: int) -> Any:
        return {key: {"_idx": len(domain.candidates)} for key, domain in self.space.items()}


class InactiveKeys(Good):
    def generate_parameters(self, parameter_id: int) -> Any:
        return {key: {"_idx": domain.option(0) if domain.kind == "input_choice" else 0} for key, domain in self.space.items()}


class PlainOutOfRange:
    def update_search_space(self, search_space: dict[str, Any]) -> None:
        self.keys = list(search_space)

    def generate_parameters(self, parameter_id: int) -> dict[str, Any]:
        return {key: {"_idx": 99} for key in self.keys}

    def receive_trial_result(self, parameter_id: int, parameters: Any, value: float) -> None: ...


class ProposesNothing(Searcher):
    """Says that it is done at once."""


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


class StopsAfterSixtyFour(Good):
    """Waits for a result once so many are outstanding; counts ends of a whole generation only."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.running: list[int] = []

    def generate_parameters(self, parameter_id: int) -> Any:
        if len(self.running) >= 64:
            return None
        self.running.append(parameter_id)
        return super().generate_parameters(parameter_id)

    def trial_end(self, parameter_id: int, success: bool) -> None:
        if len(self.running) < 64:
            self.running.remove(parameter_id)


class ImportsBadly(Good):
    def import_data(self, data: Any) -> None:
        assert not data, "cannot import"


class ImportsOnlyDicts(Good):
    """A search hands it architectures as well."""

    def import_data(self, data: Any) -> None:
        assert all(type(entry["parameter"]) is dict for entry in data)


class OneObjective(Good):
    """Says that it takes several."""

    multi_objective = True

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        assert isinstance(value, float), "not a number"


BROKEN: list[tuple[Callable[[int], Any], str]] = [
    (OutOfRange, "every_proposal_fits_its_space"),
    (InactiveKeys, "every_proposal_fits_its_space"),
    (lambda _: PlainOutOfRange(), "every_proposal_fits_its_space"),
    (ProposesNothing, "every_proposal_fits_its_space"),
    (WaitsForever, "it_never_waits_with_nothing_running"),
    (WaitsForFailed, "it_never_waits_with_nothing_running"),
    (WaitsForFailed, "failed_trials_have_no_result"),
    (InOrderOnly, "results_may_come_out_of_order"),
    (NeedsResults, "failed_trials_have_no_result"),
    (DividesByTheSpread, "all_values_may_be_equal"),
    (TenSlots, "sixty_four_may_be_outstanding"),
    (StopsAfterSixtyFour, "sixty_four_may_be_outstanding"),
    (ImportsBadly, "results_may_be_imported_first"),
    (ImportsOnlyDicts, "results_may_be_imported_first"),
    (OneObjective, "several_objectives_may_be_told"),
]


@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize(("broken", "named"), BROKEN, ids=lambda value: getattr(value, "__name__", value))
def test_what_is_broken_fails_the_test_named_after_it(
    broken: Callable[[int], Any], named: str, predictor: bool, catches: Callable[..., None]
) -> None:
    catches(broken, named, predictor=predictor, proposals_per_space=12 if predictor else None)


def test_every_test_of_proposals_catches_something() -> None:
    tests = {name.removeprefix("test_") for name in vars(ProposalContract) if name.startswith("test_")}
    assert tests == {named for _, named in BROKEN}


class OnlyLayers(Good):
    """Wrong in a single one of the thirty spaces: that in which a child stands before its parent."""

    def update_search_space(self, search_space: SearchSpace) -> None:
        super().update_search_space(search_space)
        assert "child" not in search_space


def test_valid_proposals_are_asked_of_every_space_with_a_predictor_too(catches: Callable[..., None]) -> None:
    catches(OnlyLayers, "every_proposal_fits_its_space", predictor=True)
