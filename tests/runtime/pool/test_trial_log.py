"""What a process leaves of its trials, however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from raynas.explore import Outcome
from raynas.runtime.pool import trial_log
from raynas.runtime.pool.trial_log import Ended, Left, TrialLog, take_trial_log

FAILED = Ended(7, 2, Outcome({"accuracy": 0.5}, "OSError: \udcff\nTraceback"), 1.5, 0.25)


def test_what_was_written_comes_back_once(tmp_path: Path) -> None:
    log = TrialLog(tmp_path / "log")
    log.begin(7)
    log.end(FAILED)
    assert log._path.exists()
    log.begin(8)
    assert take_trial_log(tmp_path / "log") == Left([FAILED], 8)
    assert take_trial_log(tmp_path / "log") == Left([], None)
    log.close()


def test_between_two_trials_none_runs_and_half_a_line_does_not_count(tmp_path: Path) -> None:
    log = TrialLog(tmp_path / "log")
    log.begin(7)
    log.end(FAILED)
    log._file.write(b"[8, 1, 1.0")
    assert take_trial_log(tmp_path / "log") == Left([FAILED], None)
    log.close()


def test_a_process_that_ends_by_itself_leaves_nothing(tmp_path: Path) -> None:
    log = TrialLog(tmp_path / "log")
    log.begin(1)
    log.close()
    assert not any(tmp_path.iterdir())


def test_it_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_log, "MOST_BYTES", 1_000)
    log = TrialLog(tmp_path / "log")
    for number in range(1_000):
        log.begin(number)
        log.end(FAILED)
    log.begin(1_000)
    assert (tmp_path / "log").stat().st_size < 1_200
    assert take_trial_log(tmp_path / "log").running == 1_000
    log.close()


def test_it_outlives_a_killed_process(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom raynas.runtime.pool.trial_log import TrialLog\n"
        "TrialLog(Path(sys.argv[1])).begin(3)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "log"], env=dict(os.environ), timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert take_trial_log(tmp_path / "log") == Left([], 3)
