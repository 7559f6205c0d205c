from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raynas.explore import TrialRecord
from raynas.explore.history import FAILED
from raynas.report.run_files import read_run
from raynas.report.tables import (
    architecture_section,
    failures_section,
    figures_section,
    hypervolume_note,
    stages_section,
    versions_section,
)

MakeRun = Callable[..., Path]


def test_every_figure_is_in_the_table_known_or_not(make_run: MakeRun, records: list[TrialRecord]) -> None:
    result = {"metric": "accuracy", "test_accuracy": 0.98, "random_test_accuracy_mean": 0.96, "energy_joules": 12.5, "seed": 7}
    result["random_test_accuracy"] = [0.95, 0.97]
    written = figures_section(read_run(make_run(records, result=result)), 0.94)
    for text in ("Best accuracy", "0.94", "Test accuracy", "0.98", "mean of 2 random", "energy_joules", "12.5", "Seed"):
        assert text in written


@pytest.mark.parametrize("reference", [[0.5, 4e6], {"accuracy": 0.5, "flops": 4e6}])
def test_several_objectives_have_their_own_figures(make_run: MakeRun, records: list[TrialRecord], reference: Any) -> None:
    result = {"metric": ["accuracy", "flops"], "mode": ["max", "min"], "front_size": 3, "hypervolume": 1234.5}
    run = read_run(make_run(records, result=result | {"hypervolume_reference": reference}, best=False))
    written = figures_section(run, 0.94)
    best, cheapest = max(each.metrics["accuracy"] for each in run.front), min(each.metrics["flops"] for each in run.front)
    for text in ("Best accuracy", f"{best:.4g}", "Best flops", f"{cheapest:,.0f}", "On the front", "Hypervolume", "1234"):
        assert text in written, text
    assert "front_size" not in written
    assert hypervolume_note(run).endswith("measured from accuracy 0.5, flops 4,000,000")


@pytest.mark.parametrize("reference", [None, [], "far", {"accuracy": None}])
def test_a_volume_without_a_reference_says_nothing_of_it(make_run: MakeRun, records: list[TrialRecord], reference: Any) -> None:
    result = {"metric": ["accuracy", "flops"], "mode": ["max", "min"], "hypervolume_reference": reference}
    assert hypervolume_note(read_run(make_run(records, result=result, best=False))) == "of what the front dominates"


def test_the_architecture_has_a_row_for_each_key_active_or_not(make_run: MakeRun, records: list[TrialRecord]) -> None:
    inactive = next(record for record in records if "inner" not in record.architecture)
    run = read_run(make_run(records, result={}))
    written = architecture_section(run, inactive.architecture)
    assert written is not None
    assert written.count('<th scope="row">') == len(inactive.architecture.space)
    assert "not active" in written
    assert "<script>" not in written
    assert architecture_section(run, None) is None


def test_stages_are_summed_only_where_there_are_several(make_run: MakeRun, records: list[TrialRecord]) -> None:
    written = stages_section(read_run(make_run(records, result={"seconds": {"search": 30.0, "supernet": 60.0}})))
    assert written is not None
    assert "width: 50.0%" in written
    assert "width: 100.0%" in written
    assert "all together" in written


@pytest.mark.parametrize("result", [{}, {"seconds": {}, "versions": {}}, {"seconds": "long", "versions": [1]}])
def test_what_is_not_there_has_no_section(make_run: MakeRun, records: list[TrialRecord], result: dict[str, Any]) -> None:
    run = read_run(make_run([record for record in records if record.state != FAILED], result=result))
    assert stages_section(run) is None
    assert versions_section(run) is None
    assert failures_section(run) is None


def test_failures_are_counted_by_cause_the_most_frequent_first(make_run: MakeRun, records: list[TrialRecord]) -> None:
    failed = [record for record in records if record.state == FAILED]
    failed[0].error, failed[1].error = None, ""
    written = failures_section(read_run(make_run(records, result={})))
    assert written is not None
    assert "<img" not in written
    assert written.count("no cause was recorded") == 1
    counts = [int(part.split("<")[0]) for part in written.split('<th scope="row">')[1:]]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == len(failed)
