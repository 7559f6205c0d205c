"""How many workers a training may be told to have."""

from __future__ import annotations

from typing import Any

from raynas.errors import OptionError


def check_workers(num_workers: Any, wait: float) -> None:
    """Raises ``OptionError`` if ``num_workers`` is neither a number nor (min, max), or ``wait`` no time."""
    if not wait > 0:
        raise OptionError(f"wait is {wait!r}; expected seconds above 0")
    if type(num_workers) is int and num_workers >= 0:
        return
    ends = tuple(num_workers) if isinstance(num_workers, tuple | list) else ()
    if len(ends) != 2 or not all(type(end) is int for end in ends) or not 1 <= ends[0] <= ends[1]:
        raise OptionError(f"num_workers is {num_workers!r}; expected a number, 0 for the calling process, or (min, max)")
