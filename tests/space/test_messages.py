"""What was found is shown, and messages stay short."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynas.space.messages import brief, some


@pytest.mark.parametrize("found", [None, True, 3, -1.5, "a", "ä\n", [1, "b"], ["conv", ["x"]], {"a": [0, 1]}, [], {}, (1,)])
def test_what_is_small_is_shown_whole(found: Any) -> None:
    assert brief(found) == repr(found)


def _nested(depth: int) -> Any:
    found: Any = 0
    for level in range(depth):
        found = [found] if level % 2 else {"a": found}
    return found


LARGE = {
    "a long text": "a" * 10**6,
    "a long list": list(range(10**6)),
    "long things in lists": [["a" * 10**4] * 10**4] * 10**4,
    "an object of many keys": {str(i): i for i in range(10**5)},
    "a million lists in lists": _nested(10**6),
    "an integer that Python does not write": 10**5_000,
    "the same, negative": -(10**5_000),
    "bytes": b"a" * 10**6,
}


@pytest.mark.parametrize("name", LARGE)
def test_what_is_large_is_one_short_line(name: str) -> None:
    shown = brief(LARGE[name])
    assert len(shown) < 20_000
    assert "\n" not in shown


def test_the_first_names_are_listed() -> None:
    assert some(["a"]) == "'a'"
    assert some(("a", 2)) == "'a', 2"
    assert some([str(i) for i in range(8)]) == "'0', '1', '2', '3', '4', '5', '6', '7'"
    assert some({str(i): i for i in range(20)}, limit=2) == "'0', '1' and 18 more"


@given(st.recursive(st.none() | st.integers() | st.text() | st.floats(), lambda inner: st.lists(inner) | st.tuples(inner)))
def test_anything_is_shown(found: Any) -> None:
    assert brief(found)
