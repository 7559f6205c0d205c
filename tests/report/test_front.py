"""The front: found among the trials, read from a file, and as a table."""

from typing import Any

import numpy as np
import pytest

from raynas.errors import ArchitectureError
from raynas.explore import Objective, TrialRecord, trials_table
from raynas.explore.history import COMPLETED, FAILED, REUSED
from raynas.report.front import FrontMember, find_front, front_indices, front_section, read_front
from raynas.space import SearchSpace

BOTH = Objective(("accuracy", "ms"), ("max", "min"))


def _records(space: SearchSpace, points: list[tuple[float, float]]) -> list[TrialRecord]:
    return [
        TrialRecord(number, space.unrank(number), state=COMPLETED, metrics={"accuracy": accuracy, "ms": ms})
        for number, (accuracy, ms) in enumerate(points)
    ]


def test_the_front_is_in_the_users_signs(space: SearchSpace) -> None:
    records = _records(space, [(0.9, 5.0), (0.8, 4.0), (0.7, 4.5), (0.95, 9.0), (0.9, 6.0), (0.9, 5.0)])
    front = find_front(trials_table(records), BOTH, space)
    assert [(member.trial_id, member.metrics) for member in front] == [
        (0, {"accuracy": 0.9, "ms": 5.0}),
        (1, {"accuracy": 0.8, "ms": 4.0}),
        (3, {"accuracy": 0.95, "ms": 9.0}),
    ]
    assert [member.architecture for member in front] == [space.unrank(number) for number in (0, 1, 3)]
    both_down = Objective(("accuracy", "ms"), ("min", "min"))
    assert [member.trial_id for member in find_front(trials_table(records), both_down, space)] == [1, 2]


def test_only_completed_trials_with_all_metrics_count(space: SearchSpace) -> None:
    records = _records(space, [(0.1, 9.0), (0.9, 5.0), (0.95, 4.0), (0.96, 3.0), (0.99, float("nan"))])
    records[1].state, records[2].state = FAILED, REUSED
    records[3].metrics.pop("ms")
    assert [member.trial_id for member in find_front(trials_table(records).take([4, 3, 2, 1, 0]), BOTH, space)] == [0]


def test_without_a_completed_trial_there_is_no_front(space: SearchSpace) -> None:
    records = _records(space, [(0.1, 9.0)])
    records[0].state, records[0].metrics = FAILED, {}
    assert find_front(trials_table(records), BOTH, space) == ()


def test_a_trial_of_another_space_is_refused(space: SearchSpace) -> None:
    other = SearchSpace({"key": {"_type": "choice", "_value": [1, 2]}})
    with pytest.raises(ArchitectureError):
        find_front(trials_table(_records(space, [(0.1, 9.0)])), BOTH, other)


def test_indices_of_three_metrics() -> None:
    columns = [np.array([1.0, 2.0, 2.0]), np.array([5.0, 5.0, 6.0]), np.array([1.0, 1.0, 2.0])]
    assert front_indices(columns, Objective(("a", "b", "c"), ("max", "min", "max"))) == [1, 2]


def test_what_was_written_is_read(space: SearchSpace) -> None:
    entry = {"architecture": space.unrank(7).to_dict(), "metrics": {"accuracy": 0.5, "note": "good"}, "trial_id": 12}
    assert read_front([entry], space) == (FrontMember(12, space.unrank(7), {"accuracy": 0.5}),)
    assert read_front([], space) == ()


@pytest.mark.parametrize("change", [{"trial_id": "3"}, {"trial_id": True}, {"metrics": [1]}, {"architecture": None}])
def test_an_entry_that_is_something_else_is_named(space: SearchSpace, change: dict[str, Any]) -> None:
    good = {"architecture": space.unrank(7).to_dict(), "metrics": {"accuracy": 0.5}, "trial_id": 12}
    with pytest.raises(ValueError, match="entry 1 of the front"):
        read_front([good, good | change], space)


def test_the_table_has_the_best_first_and_is_cut(space: SearchSpace) -> None:
    members = [FrontMember(number, space.unrank(number), {"accuracy": number / 100, "ms": number}) for number in range(60)]
    written = front_section(members, BOTH)
    assert written is not None
    trials = [int(part.split("<")[0]) for part in written.split('<th scope="row">')[1:]]
    assert trials == list(range(59, 9, -1))
    assert "The 50 best in accuracy, of 60." in written
    down = front_section(members[:3], Objective(("ms", "accuracy"), ("min", "max")))
    assert down is not None
    assert down.index('<th scope="row">0<') < down.index('<th scope="row">2<')
    assert "best in" not in down
    assert front_section([], BOTH) is None


def test_architectures_are_spelled_out_and_escaped(space: SearchSpace) -> None:
    short = SearchSpace({"inputs": {"_type": "input_choice", "_value": {"candidates": ["<x>", "y", "z"], "n_chosen": None}}})
    none, two = short.validate({"inputs": {"_idx": []}}), short.validate({"inputs": {"_idx": [0, 2]}})
    written = front_section([FrontMember(0, none, {}), FrontMember(1, two, {"ms": 2.0})], BOTH)
    assert written is not None
    assert "inputs: none" in written
    assert "inputs: &lt;x&gt; + z" in written
    assert "<details>" not in written
    long = front_section([FrontMember(0, space.unrank(0), {})], BOTH)
    assert long is not None
    assert "<details><summary>" in long
    assert "<script>" not in long
