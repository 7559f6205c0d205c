"""Strips: their words, and that names stay names."""

import re

import numpy as np
import pytest

from raynas.report import to_svg
from raynas.report.choices import Strip
from raynas.report.strip_plot import StripWords, draw_strips
from raynas.report.theme import drawing

WORDS = StripWords("share of <things>", "the <last>", ("from <a>", "to $b$"))


def strip(key: str, *names: str) -> Strip:
    shares = np.linspace(0, 1.2, 3 * len(names)).reshape(len(names), 3)
    shares[0, 0] = np.nan
    return Strip(key, names, shares, np.array([np.nan, *[0.25] * (len(names) - 1)]), frozenset({0}))


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("name", ["short", "a name that is longer than eighteen"])
def test_words_and_names_are_written_as_they_are(count: int, name: str) -> None:
    with drawing():
        svg = to_svg(draw_strips([strip(f"<key{number}>", name, "&amp;") for number in range(count)], WORDS))
    for number in range(count):
        assert f"&lt;key{number}&gt;" in svg
    for text in ("share of &lt;things&gt;  0 %", "numbers: the &lt;last&gt;", "from &lt;a&gt;", "to $b$", "&amp;amp;", "25 %"):
        assert text in svg
    assert svg.count("from &lt;a&gt;") == (2 if count > 1 and name == "short" else 1)  # below the last of each column


def test_strips_take_the_room_that_their_rows_need() -> None:
    with drawing():
        small, large = (draw_strips([strip("a", *names)], WORDS) for names in (("x", "y"), tuple("abcdefghij")))
    assert large.get_figheight() - small.get_figheight() == pytest.approx(8 * 0.17)


def test_strips_that_look_alike_have_ids_of_their_own() -> None:
    with drawing():
        svg = to_svg(draw_strips([strip(f"key{number}", "a", "b") for number in range(3)], WORDS))
    ids = re.findall(r'\sid="([^"]*)"', svg)
    assert len(ids) == len(set(ids))
