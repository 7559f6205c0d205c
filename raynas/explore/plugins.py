"""Which searchers are installed, and how one is made by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from raynas.errors import OptionError, SearcherError, UnknownSearcherError

GROUP = "raynas.searchers"


def searchers() -> list[str]:
    """Names of all searchers that are installed, ours and others', sorted.

    Example:
        >>> "regularized_evolution" in searchers()
        True
    """
    return sorted(_entry_points())


def make_searcher(name: str, options: Mapping[str, Any]) -> Any:
    """Make the searcher installed under ``name``.

    Raises:
        UnknownSearcherError: there is none; the message lists those that are there and where each comes from.
        OptionError: the searcher has no such option, needs one that is not given, or refuses a value.
        SearcherError: it is installed but cannot be imported.
    """
    found = _entry_points()
    if name not in found:
        known = ", ".join(f"{known} ({_origin(point)})" for known, point in sorted(found.items()))
        raise UnknownSearcherError(f"no searcher is called {name!r}; installed are: {known or 'none'}")
    try:
        factory = found[name].load()
    except (ImportError, AttributeError) as error:
        raise SearcherError(f"searcher {name!r} ({_origin(found[name])}) cannot be loaded: {error}") from error
    accepted = inspect.signature(factory)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.parameters.values())
    for option in options:
        if option not in accepted.parameters and not takes_any:
            raise OptionError(f"searcher {name!r} has no option {option!r}; it has {', '.join(accepted.parameters) or 'none'}")
    try:
        accepted.bind(**options)
    except TypeError as error:
        raise OptionError(f"searcher {name!r}: {error}; give it in searcher_options") from None
    return factory(**options)


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value
