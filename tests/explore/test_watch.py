"""A searcher that takes long is named while it does."""

import logging
import threading
import time
from typing import Any

import pytest

from raynas.explore import Searcher, watch
from raynas.explore.guarded_searcher import GuardedSearcher
from raynas.space import SearchSpace


class Slow(Searcher):
    def generate_parameters(self, parameter_id: int) -> Any:
        time.sleep(0.4 if parameter_id else 0)
        return self.space.unrank(0)


def test_it_is_warned_of_once_for_each_call_that_takes_long(space: SearchSpace, caplog: pytest.LogCaptureFixture) -> None:
    guarded = GuardedSearcher(Slow(), space, None)
    with caplog.at_level(logging.WARNING), watch(guarded, warn_after=0.1):
        for parameter_id in (0, 1, 0, 2):
            guarded.generate(parameter_id)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert all("searcher Slow has not come back from generate_parameters" in message for message in messages)


def test_its_thread_ends_with_it(space: SearchSpace) -> None:
    before = threading.active_count()
    with watch(GuardedSearcher(Slow(), space, None)):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
