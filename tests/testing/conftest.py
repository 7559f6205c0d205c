"""What the tests of the contract share: the contract of whatever is given, and whether it catches what is broken."""

from collections.abc import Callable
from typing import Any

import pytest

from raynas.testing import SearcherContract


class _Contract(SearcherContract):
    def __init__(self, make: Callable[[int], Any], **attributes: Any) -> None:
        self.make = make
        for name, value in attributes.items():
            setattr(self, name, value)

    def make_searcher(self, seed: int) -> Any:
        return self.make(seed)


@pytest.fixture(scope="session")
def contract() -> Callable[..., SearcherContract]:
    """The contract of what a function makes of a seed, with other attributes where they are given."""
    return _Contract


@pytest.fixture(scope="session")
def catches(contract: Callable[..., SearcherContract]) -> Callable[..., None]:
    """Asserts that a test of the contract fails."""

    def check(broken: Callable[[int], Any], named: str, **attributes: Any) -> None:
        with pytest.raises(AssertionError):
            getattr(contract(broken, **attributes), f"test_{named}")()

    return check
