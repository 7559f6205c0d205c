"""Numbers as people read them."""

from typing import Any

import pytest

from raynas.report.quantities import format_compact, format_duration, format_number, format_share, is_number, shorten


@pytest.mark.parametrize(("value", "expected"), [(1, True), (0.5, True), (True, False), ("1", False), (None, False)])
def test_what_a_number_is(value: Any, expected: bool) -> None:
    assert is_number(value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"), (1_953_125, "1,953,125"), (10**9, "1.00 × 10⁹"), (5**30, "9.31 × 10²⁰"), (9_999 * 10**20, "1.00 × 10²⁴"),
        (-(10**12), "-1.00 × 10¹²"), (0.97123, "0.9712"), (0.0, "0"), (1e-7, "1.00 × 10⁻⁷"),
        (2_638_000.0, "2,638,000"), (1e30, "1.00 × 10³⁰"), (float("nan"), "nan"), (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_format_number(value: float, expected: str) -> None:
    assert format_number(value) == expected


def test_format_number_of_any_size() -> None:
    assert format_number(2 * 10**50_000) == "2.00 × 10⁵⁰⁰⁰⁰"


@pytest.mark.parametrize(
    ("value", "expected"), [(0.5, "0.5"), (999, "999"), (1000, "1 k"), (2_412_345, "2.41 M"), (3e9, "3 G"), (5e15, "5,000 T")]
)
def test_format_compact(value: float, expected: str) -> None:
    assert format_compact(value) == expected


def test_format_compact_like_another() -> None:
    assert format_compact(800_000, like=3e6) == "0.8 M"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.42, "0.42 s"), (12.34, "12.3 s"), (59.97, "1 min 0 s"), (247, "4 min 7 s"), (12_300, "3 h 25 min"),
        (3599.6, "1 h 0 min"), (float("nan"), "nan s"),
    ],
)  # fmt: skip
def test_format_duration(seconds: float, expected: str) -> None:
    assert format_duration(seconds) == expected


@pytest.mark.parametrize(("share", "expected"), [(0.0, "0 %"), (0.00011, "0.011 %"), (0.5, "50 %"), (0.999, "100 %")])
def test_format_share(share: float, expected: str) -> None:
    assert format_share(share) == expected


def test_shorten() -> None:
    assert shorten("conv3x3", 7) == "conv3x3"
    assert shorten("conv3x3", 6) == "conv3…"
    assert shorten("a\nb\x00c\ud800d", 20) == "a b c d"
