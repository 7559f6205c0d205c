"""What error messages show of the things that were found: readable, and short however large or deep those are."""

from __future__ import annotations

import reprlib
from collections.abc import Collection
from itertools import islice


class _Brief(reprlib.Repr):
    """``repr``, cut short."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 4, 100, 100
        self.maxlist = self.maxtuple = self.maxdict = 12

    def repr_int(self, number: int, level: int) -> str:
        """Python refuses to write integers of more than 4,300 digits."""
        return repr(number) if number.bit_length() < 200 else f"an integer of {number.bit_length()} bits"


_BRIEF = _Brief()


def brief(found: object) -> str:
    """Like ``repr``, but short: ten megabytes of JSON, or a thousand lists in lists, make one line too."""
    return _BRIEF.repr(found)


def some(names: Collection[object], limit: int = 8) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(brief, islice(names, limit))) + more
