"""The contract suites that anyone's searcher or weight registry must pass, and search spaces to test with.

Needs pytest and hypothesis (``pip install raynas[test]``); nothing else of raynas imports it.
"""

from raynas.testing.registry_contract import RegistryContract
from raynas.testing.searcher_contract import SearcherContract
from raynas.testing.spaces import example_spaces, search_spaces

__all__ = ["RegistryContract", "SearcherContract", "example_spaces", "search_spaces"]
