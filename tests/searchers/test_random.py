"""Random search: the contract, and every architecture once."""

import json
from collections import Counter

import pytest
from raynas_searchers.random import RandomSearcher

from raynas.errors import NoMoreTrials
from raynas.space import SearchSpace
from raynas.testing import SearcherContract, example_spaces


class TestContract(SearcherContract):
    def make_searcher(self, seed: int) -> RandomSearcher:
        return RandomSearcher(seed=seed)


def _searcher(space: SearchSpace, seed: int = 0) -> RandomSearcher:
    searcher = RandomSearcher(seed)
    searcher.update_search_space(space)
    return searcher


def test_every_architecture_comes_once_and_then_no_more() -> None:
    for space in example_spaces():
        if space.size > 3_000:
            continue
        searcher = _searcher(space)
        digests = {searcher.generate_parameters(number).digest for number in range(space.size)}
        assert digests == {architecture.digest for architecture in space.enumerate()}
        with pytest.raises(NoMoreTrials):
            searcher.generate_parameters(space.size)


def test_every_order_is_as_likely() -> None:
    space = SearchSpace({"width": {"_type": "choice", "_value": [1, 2, 3]}})
    orders: Counter[tuple[object, ...]] = Counter()
    for seed in range(6_000):
        searcher = _searcher(space, seed)
        orders[tuple(searcher.generate_parameters(number)["width"].value for number in range(3))] += 1
    assert len(orders) == 6
    chi_square = sum((count - 1_000) ** 2 / 1_000 for count in orders.values())
    assert chi_square < 25.7  # 5 degrees of freedom: 1 in 10,000 by chance, were the seeds not fixed


def test_a_space_of_10_to_the_30_is_no_harder() -> None:
    space = example_spaces()[4]
    assert space.size == 10**30
    searcher = _searcher(space)
    assert len({searcher.generate_parameters(number).digest for number in range(2_000)}) == 2_000


def test_the_state_is_small_however_much_was_drawn() -> None:
    searcher = _searcher(example_spaces()[4])
    for number in range(1_000):
        searcher.generate_parameters(number)
    assert len(json.dumps(searcher.state_dict())) < 100
