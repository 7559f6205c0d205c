"""The figures of a training as they are read: by step, whole, and never a reason to fail."""

from pathlib import Path

import pytest

from raynas.report.training_figures import read_training_figures


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "supernet.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_lines_of_one_step_are_put_together_and_steps_ascend(tmp_path: Path) -> None:
    text = '{"step": 40, "loss": 1}\n{"step": 20, "loss": 2, "a": 1}\n{"step": 40, "valid_loss": 3}\n{"step": 20, "a": 5}\n'
    figures = read_training_figures(write(tmp_path, text))
    assert figures is not None
    assert list(figures.rows.items()) == [(20, {"loss": 2, "a": 5}), (40, {"loss": 1, "valid_loss": 3})]
    assert figures.names == ["loss", "a", "valid_loss"]
    assert [each.tolist() for each in figures.series("loss")] == [[20, 40], [2, 1]]
    assert [each.tolist() for each in figures.series("a")] == [[20], [5]]
    assert [each.tolist() for each in figures.series("none")] == [[], []]


def test_what_is_no_figure_is_left_out(tmp_path: Path) -> None:
    text = (
        '{"step": 1, "a": null, "b": true, "c": "text", "d": NaN, "e": [1], "f": 2}\n[]\n3\n{"a": 1}\n{"step": "2", "a": 1}\n'
        '{"step": -1, "a": 1}\n{"step": true, "a": 1}\n{"step": 4}\n{"step": 5, "los'
    )
    figures = read_training_figures(write(tmp_path, text))
    assert figures is not None
    assert dict(figures.rows) == {1: {"f": 2}}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\n", b"[" * 100_000, b'{"step": 1}\n'])
def test_a_file_without_figures_is_none(tmp_path: Path, content: bytes) -> None:
    assert read_training_figures(write(tmp_path, content)) is None
    assert read_training_figures(tmp_path / "not there") is None
    assert read_training_figures(tmp_path) is None
