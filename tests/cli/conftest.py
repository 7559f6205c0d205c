"""``raynas`` in this process."""

import subprocess
from pathlib import Path

import pytest

from tests.cli.command import Command


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``raynas`` in this process and the test's folder, where nothing else is asked: a process imports for seconds."""
    import raynas as package
    from raynas.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(package, "disconnect", lambda: None)  # this process may be connected for other tests

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        code = ended.value.code or 0
        assert isinstance(code, int)
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return run
