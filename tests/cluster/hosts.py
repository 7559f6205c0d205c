"""``Hosts``: the hosts of ``cluster/local/hosts.sh``, as tests use them."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "cluster" / "local" / "hosts.sh"
# A host that cannot be reached is given up after some 10 s, not after half a minute.
QUICK = {"RAY_health_check_initial_delay_ms": "3000", "RAY_health_check_period_ms": "1000"}
QUICK |= {"RAY_health_check_timeout_ms": "2000", "RAY_health_check_failure_threshold": "5"}


@functools.cache
def why_not() -> str | None:
    """What this machine lacks for several hosts; ``None`` if nothing."""
    tried = subprocess.run([SCRIPT, "check"], env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True)
    return tried.stderr.strip() if tried.returncode != 0 else None


class Hosts:
    """Several hosts, of which 0 is the head.

    Args:
        folder: what is known of them, of a short name; not there yet.
    """

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        python = Path(sys.executable)
        self._env = {**os.environ, **QUICK, **variables, "RAYNAS_HOSTS": str(folder), "PYTHON": str(python)}
        self._env["PATH"] = f"{python.parent}:{self._env['PATH']}"
        self._env.pop("RAY_ADDRESS", None)

    def up(self, *options: str) -> None:
        """Start them."""
        self.say("up", *options, seconds=300)

    def say(self, *words: str, seconds: float = 200) -> str:
        """A command of the script; gives what it prints."""
        with (self.folder.parent / "said").open("w+") as said:  # a pipe would stay open as long as the hosts
            ended = subprocess.run([SCRIPT, *words], env=self._env, stdout=said, stderr=said, timeout=seconds)
            said.seek(0)
            text = said.read()
        assert ended.returncode == 0, f"hosts.sh {' '.join(words)}: {text}"
        return text

    def run(self, host: int, *command: str, seconds: float = 600) -> subprocess.CompletedProcess[str]:
        """Run a command on a host, to its end."""
        return subprocess.run(
            [SCRIPT, "run", str(host), *command], env=self._env, capture_output=True, text=True, timeout=seconds, cwd=ROOT
        )

    def begin(self, host: int, *command: str, log: Path) -> subprocess.Popen[bytes]:
        """Begin a command on a host."""
        with log.open("wb") as file:
            return subprocess.Popen(
                [SCRIPT, "run", str(host), *command], env=self._env, stdout=file, stderr=file, cwd=ROOT, start_new_session=True
            )

    def down(self) -> None:
        """End all of them."""
        self.say("down")
