"""From a model to its search space."""

from typing import Any

import pytest
from torch import nn

from raynas.errors import ModelError
from raynas.nn import InputChoice, LayerChoice, MutableScope, generate_search_space


def two(key: str) -> LayerChoice:
    return LayerChoice({"a": nn.ReLU(), "b": nn.Tanh()}, key=key)


def test_every_kind_is_written_as_in_the_format() -> None:
    net = nn.Sequential(
        two("op"),
        LayerChoice([nn.ReLU(), nn.Tanh()]),
        InputChoice(choose_from=["op", "", "1"], n_chosen=1, key="skip"),
        InputChoice(n_candidates=2),
    )
    assert generate_search_space(net).to_dict() == {
        "op": {"_type": "layer_choice", "_value": ["a", "b"]},
        "1": {"_type": "layer_choice", "_value": ["0", "1"]},
        "skip": {"_type": "input_choice", "_value": {"candidates": ["op", "1", "1"], "n_chosen": 1}},
        "3": {"_type": "input_choice", "_value": {"candidates": ["0", "1"], "n_chosen": None}},
    }


def test_nested_keys_carry_their_conditions(nested: nn.Module) -> None:
    space = generate_search_space(nested)
    assert {key: dict(domain.when) for key, domain in space.items()} == {
        "op": {},
        "op.candidates.0.1": {"op": (0,)},
        "deep": {"op": (0,), "op.candidates.0.1": (1,)},
    }
    assert space.size == 4


def test_equal_given_keys_make_one_entry() -> None:
    net = nn.Sequential(two("op"), nn.Sequential(two("op")), two("other"))
    assert list(generate_search_space(net)) == ["op", "other"]


def test_equal_keys_in_several_candidates_of_one_parent_are_active_in_each() -> None:
    net = nn.Sequential(LayerChoice([two("op"), nn.Identity(), two("op")], key="outer"))
    space = generate_search_space(net)
    assert dict(space["op"].when) == {"outer": (0, 2)}
    assert space.size == 5


@pytest.mark.parametrize(
    "other",
    [
        LayerChoice({"a": nn.ReLU(), "c": nn.Tanh()}, key="op"),
        LayerChoice({"b": nn.ReLU(), "a": nn.Tanh()}, key="op"),
        InputChoice(choose_from=["a", "b"], key="op"),
    ],
)
def test_equal_keys_with_different_candidates_are_refused(other: nn.Module) -> None:
    with pytest.raises(ModelError, match="'op' is used twice with different candidates"):
        generate_search_space(nn.Sequential(two("op"), other))


def test_equal_keys_with_another_number_of_inputs_are_refused() -> None:
    net = nn.Sequential(*(InputChoice(n_candidates=3, n_chosen=n, key="skip") for n in (1, 2)))
    with pytest.raises(ModelError, match="'skip' is used twice"):
        generate_search_space(net)


def test_equal_keys_inside_and_outside_of_a_candidate_are_always_active() -> None:
    space = generate_search_space(nn.Sequential(two("op"), LayerChoice([two("op"), nn.Identity()], key="outer")))
    assert {key: dict(domain.when) for key, domain in space.items()} == {"op": {}, "outer": {}}


def test_equal_keys_under_unrelated_conditions_are_refused() -> None:
    net = nn.Sequential(*(LayerChoice([two("op"), nn.Identity()], key=key) for key in ("left", "right")))
    with pytest.raises(ModelError, match="'op' is used under conditions that have nothing to do with each other"):
        generate_search_space(net)


def test_a_choice_inside_a_candidate_of_its_own_key_is_refused() -> None:
    inner = LayerChoice([nn.ReLU(), nn.Tanh()], key="op")
    with pytest.raises(ModelError, match="'op'"):
        generate_search_space(nn.Sequential(LayerChoice([inner, nn.Identity()], key="op")))


def test_a_key_that_no_file_could_hold_is_refused() -> None:
    with pytest.raises(ModelError, match="control characters"):
        generate_search_space(nn.Sequential(two("a\tb")))


@pytest.mark.parametrize("model", [nn.Linear(2, 2), MutableScope()])
def test_a_model_without_choices_is_refused(model: nn.Module) -> None:
    with pytest.raises(ModelError, match=r"nothing to search; put a raynas\.nn\.LayerChoice or InputChoice"):
        generate_search_space(nn.Sequential(model))


@pytest.mark.parametrize("model", [3, nn.Linear, None])
def test_what_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(ModelError, match=r"expected a model, an instance of torch\.nn\.Module"):
        generate_search_space(model)
