"""The contract suites that anyone's searcher or weight registry must pass, and search spaces to test with.

Needs pytest and hypothesis (``pip install raynas[test]``); nothing else of raynas imports it.
"""

from typing import TYPE_CHECKING, Any

from raynas.testing.searcher_contract import SearcherContract
from raynas.testing.spaces import example_spaces, search_spaces

__all__ = ["RegistryContract", "SearcherContract", "example_spaces", "search_spaces"]

if TYPE_CHECKING:
    from raynas.testing.registry_contract import RegistryContract as RegistryContract


def __getattr__(name: str) -> Any:
    if name == "RegistryContract":  # loads torch, which authors of searchers may do without
        from raynas.testing.registry_contract import RegistryContract

        return RegistryContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
