"""Searchers whose sequences differ where they must not, and the tests of the contract that find it."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from raynas.explore import Searcher
from raynas.space import Architecture, SearchSpace, generator_state, restore_generator
from raynas.testing.sequence_contract import SequenceContract


class Good(Searcher):
    """Samples at random, and keeps its state."""

    def generate_parameters(self, parameter_id: int) -> Any:
        return self.space.sample(self.rng)

    def state_dict(self) -> dict[str, Any]:
        return {"rng": generator_state(self.rng)}

    def load_state_dict(self, state: Any) -> None:
        restore_generator(self.rng, state["rng"])


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
        super().receive_trial_result(parameter_id, parameters, value)
        self.total += value


class ForgetsWhatRuns(LossyState):
    """Keeps all but the ids that are outstanding, whose results it ignores when it goes on."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.ids: set[int] = set()

    def generate_parameters(self, parameter_id: int) -> Any:
        self.ids.add(parameter_id)
        return super().generate_parameters(parameter_id)

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        if parameter_id in self.ids:
            super().receive_trial_result(parameter_id, parameters, value)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"total": self.total}

    def load_state_dict(self, state: Any) -> None:
        super().load_state_dict(state)
        self.total = state["total"]


class ForgetsTheSecondObjective(LossyState):
    multi_objective = True

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.cost = 0.0

    def generate_parameters(self, parameter_id: int) -> Any:
        return self.space.unrank(int(self.rng.random() * 1000 + (self.total + self.cost) * 1e6) % self.space.size)

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        several = isinstance(value, dict)
        super().receive_trial_result(parameter_id, parameters, value["score"] if several else value)
        self.cost += value["cost"] if several else 0.0

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"total": self.total}

    def load_state_dict(self, state: Any) -> None:
        super().load_state_dict(state)
        self.total = state["total"]


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


class TakesWhatItIsTold(Good):
    """Without a check: a NaN would stay with it for good."""

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None: ...


class ChecksTooLate(LossyState):
    """Raises when it has changed already."""

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        self.total += 1.0
        super().receive_trial_result(parameter_id, parameters, value)


class ChecksOneObjective(Good):
    multi_objective = True

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        super().receive_trial_result(parameter_id, parameters, value["score"] if isinstance(value, dict) else value)


class RaisesSomethingElse(Good):
    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        assert isinstance(value, float), "the wrong error"
        super().receive_trial_result(parameter_id, parameters, value)


class GlobalRandom(Good):
    def generate_parameters(self, parameter_id: int) -> Any:
        random.random()
        return super().generate_parameters(parameter_id)


class GlobalNumpy(Good):
    def generate_parameters(self, parameter_id: int) -> Any:
        np.random.rand()
        return super().generate_parameters(parameter_id)


class GlobalTorch(Good):
    """Weights of new layers come from the global generator."""

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        super().receive_trial_result(parameter_id, parameters, value)
        torch.nn.Linear(2, 2)


BROKEN: list[tuple[Callable[[int], Any], str]] = [
    (Unseeded, "the_same_seed_gives_the_same_sequence"),
    (IgnoresItsSeed, "another_seed_gives_another_sequence"),
    (SharesAGenerator, "two_searchers_do_not_touch_each_other"),
    (LossyState, "its_state_continues_the_same_sequence"),
    (ForgetsWhatRuns, "its_state_continues_the_same_sequence"),
    (ForgetsTheSecondObjective, "its_state_continues_the_same_sequence"),
    (StateIsNoJson, "its_state_continues_the_same_sequence"),
    (StateDraws, "its_state_continues_the_same_sequence"),
    (StateIsAlive, "its_state_continues_the_same_sequence"),
    (TakesWhatItIsTold, "what_is_no_number_is_refused_and_changes_nothing"),
    (ChecksTooLate, "what_is_no_number_is_refused_and_changes_nothing"),
    (ChecksOneObjective, "what_is_no_number_is_refused_and_changes_nothing"),
    (RaisesSomethingElse, "what_is_no_number_is_refused_and_changes_nothing"),
    (GlobalRandom, "the_global_generators_are_not_used"),
    (GlobalNumpy, "the_global_generators_are_not_used"),
    (GlobalTorch, "the_global_generators_are_not_used"),
]


@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize(("broken", "named"), BROKEN, ids=lambda value: getattr(value, "__name__", value))
def test_what_is_broken_fails_the_test_named_after_it(
    broken: Callable[[int], Any], named: str, predictor: bool, catches: Callable[..., None]
) -> None:
    catches(broken, named, predictor=predictor)


def test_every_test_of_sequences_catches_something() -> None:
    tests = {name.removeprefix("test_") for name in vars(SequenceContract) if name.startswith("test_")}
    assert tests == {named for _, named in BROKEN}


@pytest.mark.parametrize("named", ["the_same_seed_gives_the_same_sequence", "another_seed_gives_another_sequence"])
def test_who_is_not_deterministic_says_so(named: str, contract: Callable[..., SequenceContract]) -> None:
    getattr(contract(Unseeded, deterministic=False), f"test_{named}")()
    getattr(contract(IgnoresItsSeed, seed_matters=False), f"test_{named}")()
