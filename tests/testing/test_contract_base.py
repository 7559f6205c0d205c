"""How much of the spaces the tests see, and how they call a searcher."""

from collections.abc import Callable
from typing import Any

import pytest

from raynas.explore import Searcher
from raynas.explore.nni_tuner import NniTuner
from raynas.space import SearchSpace
from raynas.testing import SearcherContract, example_spaces

Make = Callable[..., SearcherContract]


class Plain:
    """Three methods; notes the space that it is told."""

    multi_objective = True

    def update_search_space(self, search_space: Any) -> None:
        self.space = search_space

    def generate_parameters(self, parameter_id: int) -> Any:
        return SearchSpace(self.space).unrank(0).to_dict()

    def receive_trial_result(self, parameter_id: int, parameters: Any, value: Any) -> None: ...


def test_make_searcher_must_be_written() -> None:
    with pytest.raises(NotImplementedError, match="make_searcher"):
        SearcherContract().test_every_proposal_fits_its_space()


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [({}, 30), ({"predictor": True}, 8), ({"proposals_per_space": 5}, 5), ({"predictor": True, "proposals_per_space": 12}, 12)],
)
def test_a_predictor_proposes_less(contract: Make, attributes: dict[str, Any], expected: int) -> None:
    assert contract(Searcher, **attributes)._num_proposals == expected


def test_all_spaces_are_taken_without_a_predictor(contract: Make) -> None:
    assert [contract(Searcher)._some_spaces(part) for part in range(3)] == [example_spaces()] * 3


def test_three_parts_with_the_largest_space_in_each_are_taken_with_one(contract: Make) -> None:
    parts = [contract(Searcher, predictor=True)._some_spaces(part) for part in range(3)]
    assert {space for part in parts for space in part} == set(example_spaces())
    assert all(10 <= len(part) <= 11 for part in parts)
    assert all(max(space.size for space in part) == 10**30 for part in parts)


def test_a_predictor_may_have_a_single_space(contract: Make) -> None:
    only = example_spaces()[:1]
    made = contract(Searcher, predictor=True, make_spaces=lambda: only)
    assert [made._some_spaces(part) for part in range(3)] == [only] * 3


def test_what_is_no_searcher_of_ours_is_handed_plain_dicts(contract: Make) -> None:
    space = example_spaces()[3]
    told = contract(lambda _: Plain())._told(space)
    assert isinstance(told, NniTuner)
    assert type(told.tuner.space) is dict
    assert told.tuner.space == space.to_dict()


def test_several_objectives_are_told_to_whom_the_class_says_so(contract: Make) -> None:
    assert not contract(Searcher)._multi_objective
    assert contract(lambda _: Plain())._multi_objective
    assert not contract(lambda _: NniTuner(Plain()))._multi_objective  # its own class does not say
