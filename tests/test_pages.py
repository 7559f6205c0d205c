"""The Python of every page of the documentation runs, block after block, as a reader would type it."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = [page for page in sorted(DOCS.glob("*.md")) if "```python" in page.read_text()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    text = page.read_text()
    for block in re.finditer(r"```python\n(.*?)```", text, flags=re.DOTALL):
        line = text[: block.start()].count("\n") + 1
        exec(compile("\n" * line + block[1], page.name, "exec"), names)
