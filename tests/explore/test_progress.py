"""The live line of a search."""

import io
import time
from collections.abc import Callable
from typing import Any

import pytest

from raynas.explore import ProgressLine, SearchSession
from raynas.explore.progress import REFRESH, clock, summary

MakeSession = Callable[..., SearchSession]


def test_it_says_what_runs_what_failed_and_what_is_best(scripted: Any, make_session: MakeSession) -> None:
    session = make_session(scripted(*range(9)), num_trials=20)
    for value in (0.5, 0.75):
        session.tell(session.ask().id, {"accuracy": value})
    session.fail(session.ask().id, "ValueError: no")
    session.ask()
    assert summary(session, 2.0) == "3/20 trials, 1 running, 1 failed, best accuracy 0.7500, 1.5/s, 0:11 left"
    assert summary(session, 2.0, done_before=1) == "3/20 trials, 1 running, 1 failed, best accuracy 0.7500, 1.0/s, 0:17 left"


def test_several_objectives_have_a_front(scripted: Any, make_session: MakeSession) -> None:
    session = make_session(scripted(0, 1), metric=["accuracy", "flops"], mode=["max", "min"])
    for value in (0.5, 0.75):
        session.tell(session.ask().id, {"accuracy": value, "flops": value})
    assert "2 in the front" in summary(session, 1.0)


def test_the_line_is_written_over_itself_now_and_then_and_stays_at_the_end(scripted: Any, make_session: MakeSession) -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    session = make_session(scripted(*range(50)), num_trials=50, on_event=line)
    start = time.monotonic()
    while (record := session.ask()) is not None:
        session.tell(record.id, {"accuracy": 0.5})
        time.sleep(0.01)
    seconds = time.monotonic() - start
    line.close(session)
    written = stream.getvalue()
    assert 2 <= written.count("\r") <= seconds / REFRESH + 2
    assert written.count("\n") == 1
    assert written.endswith("\n")
    assert written.rsplit("\r", 1)[1].startswith("50/50 trials, 0 running, best accuracy 0.5000")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3_723, "1:02:03")])
def test_times_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert clock(seconds) == text
