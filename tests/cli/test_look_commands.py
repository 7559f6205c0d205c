import json
import os
import re
import subprocess
from pathlib import Path

from tests.cli.command import DIGITS, RAYNAS, Command, assert_is_one_error, raynas


def test_the_space_of_a_file_is_shown_and_written(here: Command, tmp_path: Path) -> None:
    result = here("space", str(DIGITS), "-o", "space.json")
    assert "stage1.layer0" in result.stdout
    size = int(re.search(r"([\d,]+) architectures", result.stdout)[1].replace(",", ""))  # type: ignore[index]
    assert size >= 10_000
    assert len(json.loads((tmp_path / "space.json").read_text())) >= 7


def test_the_space_of_a_model_is_shown_by_its_name(here: Command) -> None:
    result = here("space", f"{DIGITS}:Net", "--input-shape", "2,1,8,8")
    assert re.search(r"head\.inputs +input_choice \(2 of\) +stage1, stage2, stage3 +\(2, 12, 8, 8\)", result.stdout)
    assert_is_one_error(here("space", f"{DIGITS}:Nothing"), "defines nothing under the name Nothing")
    assert_is_one_error(here("space", str(DIGITS), "--input-shape", "1,x"), "1,x.* is no shape")


def test_searchers_are_listed(tmp_path: Path) -> None:
    assert {"random", "regularized_evolution", "spos_evolution"} <= set(raynas("searchers", cwd=tmp_path).stdout.split())


def test_a_shell_is_told_how_to_complete(here: Command) -> None:
    assert "_RAYNAS_COMPLETE=bash_complete" in here("completion", "bash").stdout
    asked = {**os.environ, "_RAYNAS_COMPLETE": "bash_complete", "COMP_WORDS": "raynas do", "COMP_CWORD": "1"}
    answered = subprocess.run(RAYNAS, env=asked, capture_output=True, text=True, timeout=60)
    assert "doctor" in answered.stdout
    assert "searchers" not in answered.stdout
