"""Numbers, durations and names as people read them, in pictures and on the page. No markup: all of it is plain text."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def is_number(value: Any) -> bool:
    """Whether a figure of ``result.json`` is a number, which ``true`` is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def format_number(value: float) -> str:
    """A count exactly, up to nine digits; a float with four significant ones; what is longer as a power of ten.

    Integers may be of any size: the number of architectures of a space is often larger than any float.
    """
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**9 else _power_of_ten(value)
    if not math.isfinite(value):
        return str(value)
    if value and not 1e-4 <= abs(value) < 1e9:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def format_compact(value: float, *, like: float | None = None) -> str:
    """Three significant digits and a prefix: ``2.41 M``; with ``like`` the prefix that fits that number."""
    for factor, prefix in _PREFIXES:
        if abs(value if like is None else like) >= 0.9995 * factor:
            scaled = value / factor
            return f"{scaled:.3g} {prefix}" if abs(scaled) < 999.5 else f"{scaled:,.0f} {prefix}"
    return f"{value:.3g}"


def format_duration(seconds: float) -> str:
    """``0.42 s``, ``12.3 s``, ``4 min 7 s``, ``3 h 25 min``."""
    if not math.isfinite(seconds) or seconds < 0:
        return f"{seconds} s"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes} min"


def format_share(share: float) -> str:
    """A share of 1 in percent, with two significant digits."""
    return "100 %" if share >= 0.995 else f"{100 * share:.2g} %"


def shorten(text: str, limit: int) -> str:
    """At most ``limit`` characters of one line; characters that neither XML nor a font can take become spaces."""
    line = "".join(" " if unicodedata.category(character) in ("Cc", "Cs") else character for character in text)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _power_of_ten(value: int) -> str:
    sign, value = ("-", -value) if value < 0 else ("", value)
    exponent = int(math.log10(value))  # exact enough for integers of any size, unlike a float made of one
    leading = value // 10 ** max(exponent - 6, 0)
    mantissa = f"{leading / 1e6:.2f}"
    if mantissa == "10.00":
        mantissa, exponent = "1.00", exponent + 1
    return f"{sign}{mantissa} × 10{str(exponent).translate(_SUPERSCRIPTS)}"
