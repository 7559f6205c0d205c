"""The page as a browser shows it: drawn, without a complaint, and with nothing of the user's run as code."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from raynas.explore import TrialRecord
from raynas.report import write_report
from raynas.space import SearchSpace
from tests.report.conftest import write_training
from tests.report.test_page import RESULT

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")


def show(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr", "--v=0"]
    command = [BROWSER or "", *quiet, f"--user-data-dir={page.parent / 'profile'}", "--window-size=1100,1400", *options]
    return subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=100, check=True)


@needs_browser
def test_a_browser_draws_the_page_and_has_nothing_to_say(
    make_run: Callable[..., Path], records: list[TrialRecord], space: SearchSpace
) -> None:
    folder = make_run(records, result=RESULT)
    write_training(folder, space)
    page = write_report(folder)
    seen = show(page, "--dump-dom")
    assert seen.stdout.count("<svg") == page.read_text(encoding="utf-8").count("<svg") >= 4
    assert not re.search(r"<script|<img src=.?x", seen.stdout)
    shown = show(page, f"--screenshot={folder / 'report.png'}")
    assert not [line for line in (seen.stderr + shown.stderr).splitlines() if "CONSOLE" in line]
    picture = imread(folder / "report.png")[..., :3]
    assert picture.shape[:2] == (1400, 1100)
    assert len(np.unique((picture * 255).astype(np.uint8).reshape(-1, 3), axis=0)) > 100, "it is not blank"
