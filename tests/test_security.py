"""What SECURITY.md promises of the source as a whole; what it says of single parts is tested where they are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*(ROOT / "raynas").rglob("*.py"), *(ROOT / "searchers").rglob("*.py"), *(ROOT / "examples").rglob("*.py")])
OWN_PAYLOADS = {
    "raynas/runtime/tune/trial_runner.py",
    "raynas/runtime/train/train_worker.py",
}  # what the driver has sent to its workers


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_could_have_been_sent_is_unpickled(path: Path) -> None:
    text = path.read_text()
    for call in re.findall(r"torch\.load\([^)]*\)", text):
        assert "weights_only=True" in call
    if str(path.relative_to(ROOT)) not in OWN_PAYLOADS:
        assert not re.search(r"\b(c?pickle|cloudpickle|dill|marshal|shelve)\.(load|loads|Unpickler|open)\b", text)
    assert not re.search(r"(?<![.\w])(eval|exec)\(", text)
    assert "allow_pickle=True" not in text
    assert "shell=True" not in text


def test_the_page_names_what_is_tested() -> None:
    page = (ROOT / "SECURITY.md").read_text()
    for said in ("token", "safetensors", "weights_only=True", "job"):
        assert said in page
