"""The README is true: its snippets run, its commands exist, its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_snippets_run_as_printed(tmp_path: Path) -> None:
    script = tmp_path / "snippets.py"
    script.write_text("\n".join(re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)))
    result = subprocess.run([sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr
    assert "Architecture(body=" in result.stdout
    assert "'accuracy'" in result.stdout


def test_the_table_of_commands_is_that_of_the_command_line() -> None:
    from raynas.cli.main import cli

    assert set(re.findall(r"^\| `raynas (\w+)", README, flags=re.MULTILINE)) == {
        name for name, command in cli.commands.items() if not command.hidden
    }


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"^make (\w+)|`make (\w+)`", page.read_text(), flags=re.MULTILINE):
            assert re.search(rf"^{target[0] or target[1]}:", makefile, flags=re.MULTILINE), f"{page.name}: make {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`]*`(?!\])", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?://)([^)#]+)", prose)
    for link in links:
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_chinese_one_says_the_same() -> None:
    """The same headings in number and level, the same code, commands, rows of tables, links and names in code."""
    chinese = (ROOT / "README.zh-CN.md").read_text()
    for pattern in (
        r"^(#+) ",
        r"```(?:python|console)\n.*?```",
        r"^\| `(raynas [^`]+)`",
        r"^(\|)",
        r"\]\((?!README)([^)]+)\)",
        r"^- \[`([^`]+)`\]",
    ):
        ours, theirs = (re.findall(pattern, text, flags=re.MULTILINE | re.DOTALL) for text in (README, chinese))
        assert ours == theirs, pattern
    code = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
    assert set(code.findall(README)) == set(code.findall(chinese))
    assert "[English](README.md)" in chinese
    assert "[中文](README.zh-CN.md)" in README
