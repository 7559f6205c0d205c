"""How many evaluators there are, while machines come and go and starts fail. Without actors."""

from collections.abc import Callable
from typing import Any

import pytest
import ray

from raynas.errors import OptionError, SearchStoppedError
from raynas.runtime.pool import evaluator_group
from raynas.runtime.pool.evaluator_group import EvaluatorGroup, at_most


class Fake:
    """An evaluator that starts when it is told to."""

    def __init__(self, resources: dict[str, float], work: Any, round: int, *, near: str | None) -> None:
        self.resources, self.round, self.near = resources, round, near
        self.call: Any = self
        self.place: Any = None
        self.why_lost: str | None = None
        self.ended = False

    @property
    def is_ready(self) -> bool:
        return self.place is not None and self.why_lost is None

    def end(self) -> None:
        self.ended = True


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The machines of the cluster, to be changed; there is no waiting between two looks."""
    there: list[dict[str, Any]] = [{"NodeID": "one", "Alive": True, "Resources": {"CPU": 3.0}}]
    monkeypatch.setattr(ray, "nodes", lambda: there)
    monkeypatch.setattr(evaluator_group, "EvaluatorHandle", Fake)
    monkeypatch.setattr(evaluator_group, "LOOK_EVERY", 0.0)
    return there


@pytest.fixture
def settle(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets a start end well, or with an error."""

    def settle(group: EvaluatorGroup, evaluator: Any, error: Exception | None = None) -> None:
        def get(_: Any) -> str:
            if error is not None:
                raise error
            return "place"

        monkeypatch.setattr(ray, "get", get)
        group.take_start(evaluator)

    return settle


def died() -> Exception:
    return ray.exceptions.ActorDiedError()


def raised(cause: Exception) -> Exception:
    return ray.exceptions.RayTaskError("prepare", "Traceback", cause)


@pytest.mark.usefixtures("nodes")
@pytest.mark.parametrize(
    ("resources", "most", "num_trials", "expected"),
    [
        ({"cpu": 1}, None, 100, 3),
        ({"cpu": 2}, None, 100, 1),
        ({"cpu": 0.5}, None, 100, 6),
        ({"cpu": 8}, None, 100, 1),
        ({"cpu": 1}, 2, 100, 2),
        ({"cpu": 1}, None, 2, 2),
        ({}, 4, 100, 4),
        ({}, None, 100, 1),
    ],
)
def test_one_for_each_slot(resources: dict[str, float], most: int | None, num_trials: int, expected: int) -> None:
    group = EvaluatorGroup(resources, "work", most)
    group.fit(num_trials)
    assert len(group.members) == expected
    group.fit(num_trials)
    assert len(group.members) == expected


def test_a_machine_brings_slots_and_takes_them_along(nodes: list[dict[str, Any]], settle: Callable[..., None]) -> None:
    group = EvaluatorGroup({"cpu": 1}, "work", None)
    group.fit(100)
    for each in list(group.members):
        settle(group, each)
    nodes.append({"NodeID": "two", "Alive": True, "Resources": {"CPU": 2.5}})
    group.fit(100)
    assert len(group.members) == 5
    assert len(group.ready()) == 3
    nodes[1]["Alive"] = False
    starting: list[Any] = [each for each in group.members if not each.is_ready]
    group.fit(100)
    assert len(group.members) == 3
    assert all(each.ended for each in starting)
    nodes[0]["Alive"] = False
    group.fit(100)
    assert len(group.ready()) == 3, "one that is at work ends with its machine, not because we think that it should"


def test_the_machine_with_the_weights_is_filled_first(nodes: list[dict[str, Any]], settle: Callable[..., None]) -> None:
    nodes.append({"NodeID": "two", "Alive": True, "Resources": {"CPU": 2.0}})
    group = EvaluatorGroup({"CPU": 1}, "work", 4, home="two")
    group.fit(100)
    assert [each.near for each in group.members] == ["two", "two", None, None]
    for each in list(group.members):
        settle(group, each)
    group.remove(group.members[0])
    group.fit(100)
    assert [each.near for each in group.members] == ["two", None, None, "two"]
    nodes[1]["Alive"] = False
    group.remove(group.members[0])
    group.fit(3)
    assert len(group.members) == 3
    everywhere = EvaluatorGroup({"CPU": 1}, "work", 4)
    everywhere.fit(100)
    assert [each.near for each in everywhere.members] == [None] * 3


@pytest.mark.usefixtures("nodes")
def test_one_that_is_lost_is_replaced(settle: Callable[..., None]) -> None:
    group = EvaluatorGroup({"cpu": 3}, "work", None)
    group.fit(100)
    (first,) = group.members
    settle(group, first)
    first.why_lost = "it died"
    group.fit(100)
    assert len(group.members) == 2
    group.remove(first)
    assert [each.round for each in group.members] == [0]


@pytest.mark.usefixtures("nodes")
def test_a_setup_that_raises_ends_it_at_once(settle: Callable[..., None]) -> None:
    group = EvaluatorGroup({"cpu": 1}, "work", None)
    group.fit(100)
    with pytest.raises(SearchStoppedError, match="could not be set up: OSError: disk"):
        settle(group, group.members[0], raised(OSError("disk")))
    with pytest.raises(OptionError, match="its own"):
        settle(group, group.members[0], raised(OptionError("its own")))


@pytest.mark.usefixtures("nodes")
def test_starts_that_fail_together_count_once(settle: Callable[..., None]) -> None:
    group = EvaluatorGroup({"cpu": 1}, "work", None)
    for number in range(2):
        group.fit(100)
        assert [each.round for each in group.members] == [number] * 3
        for each in list(group.members):
            settle(group, each, died())
    group.fit(100)
    with pytest.raises(SearchStoppedError, match="3 evaluators die in their setup, one after the other"):
        settle(group, group.members[0], died())


@pytest.mark.usefixtures("nodes")
def test_where_others_are_at_work_failing_starts_are_left_for_a_while(
    settle: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    group = EvaluatorGroup({"cpu": 1.5}, "work", None)
    group.fit(100)
    settle(group, group.members[0])
    for error in (raised(OSError("disk")), died(), raised(OSError("disk"))):
        group.fit(100)
        settle(group, group.members[1], error)
    group.fit(100)
    assert len(group.members) == 1
    assert caplog.text.count("evaluate could not be set up: OSError: disk") == 2


def test_what_may_run_at_once_is_shared_out() -> None:
    assert at_most(32, 2, None) == 32
    assert at_most(32, 2, 3) == 2
    assert at_most(1, 2, 16) == 1
    assert at_most(32, 0, 5) == 5
