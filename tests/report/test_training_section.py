"""What the page says about a supernet's training."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raynas.errors import RunDamagedError
from raynas.explore import TrialRecord
from raynas.report import write_report
from raynas.report.run_files import read_run
from raynas.report.training_section import training_section
from raynas.space import Architecture, SearchSpace
from tests.report.conftest import EVIL_KEY, write_training
from tests.report.test_page import read

MakeRun = Callable[..., Path]


def result(architecture: Architecture | None) -> dict[str, Any]:
    learnt = {} if architecture is None else {"architecture": architecture.to_dict()}
    return {"metric": "accuracy", "mode": "max", "supernet": {"steps": 1200, **learnt}}


def test_without_the_file_there_is_no_section(make_run: MakeRun, records: list[TrialRecord]) -> None:
    run = read_run(make_run(records, result=result(None)))
    assert run.training is None
    assert training_section(run) is None


@pytest.mark.parametrize("has_ended", [True, False])
def test_a_method_that_learns_shows_what_it_prefers(
    make_run: MakeRun, records: list[TrialRecord], space: SearchSpace, has_ended: bool
) -> None:
    learnt = space.unrank(0)
    folder = make_run(records, result=result(learnt if has_ended else None))
    write_training(folder, space)
    path = write_report(folder)
    page, reader = path.read_text(encoding="utf-8"), read(path)
    assert page.count("<svg") == 5
    assert "Training of the supernet" in reader.text
    assert ("Chosen" if has_ended else "Likeliest so far") in reader.text
    assert ("in bold if it is in the architecture that was learnt" in reader.text) == has_ended
    assert "an entropy that falls" in reader.text
    assert re.search(r"\nlayer1\nskip\n91 %\nconv3x3 4\.5 %\n", reader.text)
    assert "search_space.json, trials.parquet, best.json, result.json, supernet.jsonl" in reader.text
    assert EVIL_KEY in reader.text
    assert "<script" not in page
    assert not reader.tags & {"script", "img", "b"}
    assert len(reader.ids) == len(set(reader.ids))
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)
    assert path.read_bytes() == write_report(folder).read_bytes()


def test_keys_that_are_not_active_say_so(make_run: MakeRun, records: list[TrialRecord], space: SearchSpace) -> None:
    learnt = next(each for each in map(space.unrank, range(9_999)) if "inner" not in each)
    folder = make_run(records, result=result(learnt))
    write_training(folder, space)
    text = read(write_report(folder)).text
    assert "\ninner\nnot active\n" in text[text.index("Next likeliest") :]


def test_a_method_that_learns_weights_only_shows_its_loss(
    make_run: MakeRun, records: list[TrialRecord], space: SearchSpace
) -> None:
    folder = make_run(records, result=result(None))
    write_training(folder, space, learns=False)
    path = write_report(folder)
    assert path.read_text(encoding="utf-8").count("<svg") == 4
    assert "a loss that still falls at the end" in read(path).text
    assert "Likeliest" not in read(path).text


def test_figures_without_any_to_draw_say_so(make_run: MakeRun, records: list[TrialRecord]) -> None:
    folder = make_run(records, result=result(None))
    (folder / "supernet.jsonl").write_text('{"step": 20, "learning_rate": 0.1}\n')
    assert "the training has logged no figures to draw" in read(write_report(folder)).text


def test_probabilities_of_another_space_are_left_out(make_run: MakeRun, records: list[TrialRecord]) -> None:
    folder = make_run(records, result=result(None))
    (folder / "supernet.jsonl").write_text('{"step": 20, "loss": 1, "alpha/other/<b>": 0.5}\n')
    path = write_report(folder)
    assert path.read_text(encoding="utf-8").count("<svg") == 4
    assert "Likeliest" not in read(path).text


def test_more_than_thirty_keys_are_said_to_be_cut(make_run: MakeRun) -> None:
    space = SearchSpace({f"key{i}": {"_type": "layer_choice", "_value": ["a", "b"]} for i in range(40)})
    folder = make_run([TrialRecord(0, space.unrank(5), state="completed", metrics={"accuracy": 0.5})])
    write_training(folder, space)
    text = read(write_report(folder)).text
    section = text[text.index("Training of the supernet") :]
    assert "The first 30 of 40 keys. Each row is a candidate as training went on" in section
    assert "\nkey39\na\n" in section  # the table has them all


def test_an_architecture_of_another_space_is_damage(make_run: MakeRun, records: list[TrialRecord]) -> None:
    folder = make_run(records, result=result(None))
    (folder / "result.json").write_text(json.dumps({"supernet": {"architecture": {"no": {"_idx": 0}}}}))
    with pytest.raises(RunDamagedError, match=r"result\.json"):
        read_run(folder)
