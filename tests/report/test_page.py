"""The page: whole, self-contained, escaped, and honest about what is not there."""

import json
import random
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from raynas.errors import RunDamagedError, RunNotFoundError
from raynas.explore import Journal, TrialRecord, pareto_front
from raynas.explore.history import COMPLETED, FAILED
from raynas.report import write_report
from raynas.space import SearchSpace

MakeRun = Callable[..., Path]
VOID = {"meta", "br", "hr", "img", "link", "input"}

RESULT: dict[str, Any] = {
    "name": "<i>digits</i> $x$",
    "metric": "accuracy",
    "mode": "max",
    "num_trials": 60,
    "num_reused": 6,
    "num_failed": 6,
    "num_forbidden": 41,
    "inherited_accuracy": 0.9391,
    "test_accuracy": 0.9833,
    "random_test_accuracy_mean": 0.9651,
    "random_test_accuracy": [0.9611, 0.9691],
    "params": 188_429,
    "flops": 2_638_000,
    "max_flops": 3e6,
    "seconds": {"supernet": 94.2, "<search>": 41.7},
    "versions": {"ray": "2.56.0", "<torch>": "2.7"},
    "seed": 7,
    "energy_joules": 12.5,
}


class Reader(HTMLParser):
    """Checks that elements are closed in order; collects tags, ids, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += "" if "style" in self.open else f"{data}\n" if data.strip() else ""


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert not reader.open
    return reader


def test_the_page_shows_what_the_run_found(make_run: MakeRun, records: list[TrialRecord]) -> None:
    folder = make_run(records, result=RESULT)
    path = write_report(folder)
    assert path == folder / "report.html"
    assert sorted(each.name for each in folder.iterdir()) == [
        "best.json", "report.html", "result.json", "search_space.json", "trials.parquet",
    ]  # fmt: skip
    text = read(path).text
    for shown in (
        "<i>digits</i> $x$", "0.9833", "0.018 above the mean of random architectures, 0.9651", "2.64 M",
        "limit 3 M, 188 k parameters", "0.9391", "0.9611 to 0.9691", "2,638,000", "Forbidden", "41", "energy_joules", "12.5",
        "1 min 34 s", "<search>", "2 min 16 s", "<torch>", "2.56.0", "Failures",
    ):  # fmt: skip
        assert shown in text, shown


def test_failures_are_grouped_by_cause(make_run: MakeRun, records: list[TrialRecord]) -> None:
    text = read(write_report(make_run(records, result=RESULT))).text
    assert re.search(r"3\nValueError: <img src=x> 3\n3, 23, 43\n3\nValueError: <img src=x> 13\n13, 33, 53", text)


def test_the_best_architecture_is_spelled_out(make_run: MakeRun, space: SearchSpace, records: list[TrialRecord]) -> None:
    best = space.sample(random.Random(4))
    records[0].architecture = best
    text = read(write_report(make_run(records, result=RESULT))).text
    (index,) = best.indices["layer1"]
    others = ", ".join(name for name in space["layer1"].candidates if name != best["layer1"].value)
    assert f"layer1\n{best['layer1'].value}\n{index} of 3\n{others}" in text
    assert f"inputs\n{', '.join(best['inputs'].value)}\n{', '.join(map(str, best.indices['inputs']))} of 3" in text
    assert "and 11 more" in text  # widths
    assert ("not active" in text) == ("inner" not in best)


def test_nothing_of_the_user_becomes_markup(make_run: MakeRun, records: list[TrialRecord]) -> None:
    path = write_report(make_run(records, result=RESULT))
    page = path.read_text(encoding="utf-8")
    reader = read(path)
    assert not reader.tags & {"script", "img", "i", "b", "search", "torch", "link", "iframe", "object"}
    assert "<script>alert(1)</script>" in reader.text
    assert "a$b$" in reader.text
    for raw in ("<script", "<img", "<b>", "<i>"):
        assert raw not in page


def test_the_page_needs_nothing_but_itself(make_run: MakeRun, records: list[TrialRecord]) -> None:
    path = write_report(make_run(records, result=RESULT))
    page, reader = path.read_text(encoding="utf-8"), read(path)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in reader.links)
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", page)
    assert page.count("<svg") == 3
    assert "default-src 'none'" in page


def test_the_same_run_has_the_same_page(make_run: MakeRun, records: list[TrialRecord]) -> None:
    folder = make_run(records, result=RESULT)
    assert write_report(folder).read_bytes() == write_report(folder).read_bytes()


def test_without_result_and_best_the_page_shows_what_there_is(make_run: MakeRun, records: list[TrialRecord]) -> None:
    text = read(write_report(make_run(records, best=False))).text
    best = max((record for record in records if record.state == COMPLETED), key=lambda record: record.metrics["accuracy"])
    assert "digits-001" in text
    assert f"accuracy {best.metrics['accuracy']:.4g}" in text
    assert f"layer0\n{best.architecture['layer0'].value}\n" in text
    assert "Not there when it was written: best.json, result.json." in text
    assert "\nTime\n" not in text
    assert "\nVersions\n" not in text


def test_without_a_completed_trial_the_page_says_so(make_run: MakeRun, records: list[TrialRecord]) -> None:
    for record in records:
        record.state, record.metrics, record.error = FAILED, {}, None
    path = write_report(make_run(records, result=RESULT, best=False))
    text = read(path).text
    assert text.count("there are no completed trials") == 3
    assert "No trial has completed yet" in text
    assert "60\nno cause was recorded" in text
    assert "<svg" not in path.read_text(encoding="utf-8")


def test_without_flops_the_parameters_stand_in(make_run: MakeRun, records: list[TrialRecord]) -> None:
    for record in records:
        record.metrics = {("params" if name == "flops" else name): value for name, value in record.metrics.items()}
    text = read(write_report(make_run(records, result={"metric": "accuracy", "mode": "max", "max_flops": 3e6}))).text
    assert "Accuracy against parameters" in text
    assert "limit 3 M" not in text


def test_without_any_cost_the_page_says_so(make_run: MakeRun, records: list[TrialRecord]) -> None:
    for record in records:
        record.metrics.pop("flops", None)
    path = write_report(make_run(records, result={"metric": "accuracy", "mode": "max"}))
    assert "the trials report neither flops nor params" in read(path).text
    assert path.read_text(encoding="utf-8").count("<svg") == 2


def test_more_than_thirty_keys_are_said_to_be_cut(make_run: MakeRun) -> None:
    space = SearchSpace({f"key{i}": {"_type": "choice", "_value": list(range(1, 9))} for i in range(40)})
    architecture = space.unrank(5)
    path = write_report(make_run([TrialRecord(0, architecture, state=COMPLETED, metrics={"accuracy": 0.5})]))
    text = read(path).text
    assert "The first 30 of 40 keys." in text
    assert "1.33 × 10³⁶" in text


# --- several objectives ----------------------------------------------------------------------------------------------

SEVERAL: dict[str, Any] = {
    "metric": ["accuracy", "flops"],
    "mode": ["max", "min"],
    "num_trials": 60,
    "front_size": 3,
    "hypervolume": 0.4321,
    "hypervolume_reference": {"accuracy": 0.9, "flops": 3e6},
}


def _write_front(folder: Path, records: list[TrialRecord]) -> list[TrialRecord]:
    """Writes best.json as a search with several objectives does; gives the members, the most accurate first."""
    completed = [record for record in records if record.state == COMPLETED]
    at = pareto_front([(record.metrics["accuracy"], -record.metrics["flops"]) for record in completed])
    front = [
        {
            "architecture": completed[number].architecture.to_dict(),
            "metrics": completed[number].metrics,
            "trial_id": completed[number].id,
        }
        for number in at
    ]
    (folder / "best.json").write_text(json.dumps({"front": front}), encoding="utf-8")
    return sorted((completed[number] for number in at), key=lambda record: -record.metrics["accuracy"])


def test_several_objectives_show_their_front(make_run: MakeRun, records: list[TrialRecord]) -> None:
    folder = make_run(records, result=SEVERAL)
    front = _write_front(folder, records)
    path = write_report(folder)
    page, reader = path.read_text(encoding="utf-8"), read(path)
    assert page.count("<svg") == 3  # the front, the progress, the choices
    assert 'id="front-' in page
    assert 'id="tradeoff-' not in page
    for shown in (
        "Accuracy against FLOPs", f"{len(front)} are on the Pareto front", "of accuracy and flops", "0.4321",
        "measured from accuracy 0.9, flops 3,000,000", "no more flops than there", "Pareto front",
        "accuracy (higher is better)", "flops (lower is better)",
    ):  # fmt: skip
        assert shown in reader.text, shown
    rows = re.findall(r"(?m)^(\d+)\n(0\.\d+)\n([\d,]+)\n.*layer0: ", reader.text)
    expected = [(f"{each.id}", f"{each.metrics['accuracy']:.4g}", f"{each.metrics['flops']:,.0f}") for each in front]
    assert rows == expected
    assert "Best architecture" not in reader.text
    assert "in bold" not in reader.text
    assert "details" in reader.tags
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in reader.links)
    assert len(reader.ids) == len(set(reader.ids))
    assert not reader.tags & {"script", "img", "b"}  # the space has keys that look like them
    assert path.read_bytes() == write_report(folder).read_bytes()


def test_three_objectives_and_more_are_named(make_run: MakeRun, records: list[TrialRecord]) -> None:
    for number, record in enumerate(records):
        if record.metrics:
            record.metrics["ms"] = 1.0 + number
    result = {"metric": ["accuracy", "ms", "loss", "flops"], "mode": ["max", "min", "min", "min"]}
    text = read(write_report(make_run(records, result=result, best=False))).text
    assert "of accuracy, ms, loss and flops" in text
    assert "whatever the loss, which is the shade of the dots; the front also counts flops" in text
    assert "loss (lower is better)" in text


def test_a_cost_that_is_no_objective_keeps_its_picture(make_run: MakeRun, records: list[TrialRecord]) -> None:
    result = {"metric": ["accuracy", "loss"], "mode": ["max", "min"]}
    page = write_report(make_run(records, result=result, best=False)).read_text(encoding="utf-8")
    assert page.count("<svg") == 4
    for record in records:
        record.metrics.pop("flops", None)
    assert "neither flops nor params" not in page


def test_several_objectives_while_the_search_runs(make_run: MakeRun, records: list[TrialRecord]) -> None:
    folder = make_run(records, best=False)
    journal = Journal(folder / "journal")
    journal.append({"event": "opened", "objective": {"metric": ["accuracy", "flops"], "mode": ["max", "min"]}})
    journal.close()
    text = read(write_report(folder)).text
    assert "on the Pareto front" in text
    assert "Not there when it was written: best.json, result.json." in text
    assert "hypervolume" not in text


def test_several_objectives_without_a_completed_trial(make_run: MakeRun, records: list[TrialRecord]) -> None:
    for record in records:
        record.state, record.metrics, record.error = FAILED, {}, None
    path = write_report(make_run(records, result=SEVERAL, best=False))
    text = read(path).text
    assert "No trial has completed yet" in text
    assert text.count("there are no completed trials") == 3
    assert "<svg" not in path.read_text(encoding="utf-8")


def test_odd_values_in_the_result_do_no_harm(make_run: MakeRun, records: list[TrialRecord]) -> None:
    odd = {"seconds": [1], "versions": None, "flops": "many", "max_flops": True, "test_accuracy": None, "seed": "a", "name": 3}
    odd |= {"random_test_accuracy": "x", "random_test_accuracy_mean": 0.5, "extra": {"a": 1}, "late": "\ud800"}
    assert read(write_report(make_run(records, result=odd))).text.startswith("3: architecture search")


def test_trials_of_another_space_are_damage(make_run: MakeRun, records: list[TrialRecord]) -> None:
    folder = make_run(records, best=False)
    SearchSpace({"key": {"_type": "choice", "_value": [1, 2]}}).save(folder / "search_space.json")
    with pytest.raises(RunDamagedError, match=r"trials\.parquet of digits-001 does not fit"):
        write_report(folder)


def test_a_folder_without_trials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match=r"search_space\.json"):
        write_report(tmp_path)
