"""The command ``raynas`` as tests run it."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DIGITS = ROOT / "examples" / "digits.py"
RAYNAS = [sys.executable, "-c", "from raynas.cli import main; main()"]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def raynas(*arguments: str, cwd: Path, timeout: float = 110) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RAYNAS, *arguments], cwd=cwd, capture_output=True, text=True, timeout=timeout)


def assert_is_one_error(result: subprocess.CompletedProcess[str], message: str) -> None:
    assert result.returncode == 2, result.stderr
    assert re.search(message, result.stderr), result.stderr
    assert "Traceback" not in result.stderr
