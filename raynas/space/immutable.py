"""``Immutable``: objects whose attributes are set while they are made, and never again."""

from __future__ import annotations

from typing import NoReturn, Self

put = object.__setattr__  # how an immutable class fills a new object of its own; nothing else may


class Immutable:
    """No attribute can be set or deleted, so that a copy is the object itself."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: its attribute {name!r} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: its attribute {name!r} cannot be deleted")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self
