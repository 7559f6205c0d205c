"""The spaces that searchers are tested on have what they promise."""

import subprocess
import sys

import pytest
from hypothesis import Phase, find, given, settings

from raynas.space import CHOICE, INPUT_CHOICE, LAYER_CHOICE, Domain, SearchSpace
from raynas.testing import example_spaces, search_spaces

DOMAINS = [domain for space in example_spaces() for domain in space.values()]


def test_there_are_thirty_and_they_never_change() -> None:
    spaces = example_spaces()
    assert len(spaces) == 30
    assert [space.to_json() for space in spaces] == [space.to_json() for space in example_spaces()]
    assert len({space.to_json() for space in spaces}) == 30


def test_every_kind_is_there() -> None:
    assert {domain.kind for domain in DOMAINS} == {LAYER_CHOICE, INPUT_CHOICE, CHOICE}
    assert {domain.n_chosen for domain in DOMAINS if domain.kind == INPUT_CHOICE} >= {None, 0, 1, 2}
    assert {type(candidate) for domain in DOMAINS for candidate in domain.candidates} == {str, int, float}


def test_conditions_are_nested_up_to_three_deep() -> None:
    assert {len(domain.when) for domain in DOMAINS} == {0, 1, 2, 3}


def test_the_corners_are_there() -> None:
    sizes = [space.size for space in example_spaces()]
    assert 1 in sizes
    assert 10**30 in sizes
    assert any(len(domain.candidates) == 1 for domain in DOMAINS)
    assert any(len(set(domain.candidates)) < len(domain.candidates) for domain in DOMAINS)
    assert any(not domain.key.isascii() for domain in DOMAINS)
    assert any(_stands_before_its_parent(space, domain) for space in example_spaces() for domain in space.values())


def _stands_before_its_parent(space: SearchSpace, domain: Domain) -> bool:
    keys = list(space)
    return any(keys.index(domain.key) < keys.index(parent) for parent in domain.when)


@given(search_spaces(max_keys=4))
@settings(max_examples=100, deadline=None)
def test_the_strategy_keeps_to_its_limit(space: SearchSpace) -> None:
    assert 1 <= len(space) <= 4
    assert all(len(domain.when) <= 3 for domain in space.values())


FIRST = settings(phases=[Phase.generate], max_examples=1_000, deadline=None, derandomize=True)  # not the smallest


@pytest.mark.parametrize("kind", [LAYER_CHOICE, INPUT_CHOICE, CHOICE])
def test_the_strategy_makes_every_kind(kind: str) -> None:
    space = find(search_spaces(), lambda space: any(domain.kind == kind for domain in space.values()), settings=FIRST)
    assert kind in space.to_json()


@pytest.mark.parametrize("depth", [1, 2])
def test_the_strategy_makes_conditions(depth: int) -> None:
    space = find(search_spaces(), lambda space: any(len(domain.when) == depth for domain in space.values()), settings=FIRST)
    assert "_when" in space.to_json()


def test_raynas_does_not_load_its_tests() -> None:
    code = "import sys, raynas, raynas.explore; print({'raynas.testing', 'pytest', 'hypothesis'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_testing_loads_neither_torch_nor_ray() -> None:
    code = "import sys, raynas.testing; print({'torch', 'ray'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
