"""The site is built, and a link or a name that leads nowhere fails it."""

import re
import subprocess
import sys
from pathlib import Path

import raynas

ROOT = Path(__file__).resolve().parent.parent


def test_the_site_is_built_strictly_and_has_every_public_name(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "site" / "api.html").read_text()
    shown = set(re.findall(r'<h3 id="raynas\.([\w.]+)"', page))
    assert set(raynas.__all__) - {"__version__"} <= shown
    assert {f"nn.{name}" for name in ("LayerChoice", "InputChoice", "ValueChoice", "Repeat", "Cell", "MutableScope")} <= shown
    listed = {name for name in re.findall(r"(\S+\.md)", (ROOT / "mkdocs.yml").read_text()) if name != "docs/api.md"}
    assert listed == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_the_page_of_commands_is_that_of_the_command_line() -> None:
    from raynas.cli.main import cli

    page = (ROOT / "docs" / "commands.md").read_text()
    rows = dict(re.findall(r"^\| `raynas (\w+)` \| (.*?) \|", page, flags=re.MULTILINE))
    assert rows == {
        name: (command.help or "").split("\n\n")[0].replace("\n", " ")
        for name, command in cli.commands.items()
        if not command.hidden
    }
