"""Events on disk. How a search goes on from them is in ``test_resuming``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raynas.errors import RunDamagedError
from raynas.explore import Journal, SearchSession
from raynas.explore.journal import Event, read_events

MakeSession = Callable[..., SearchSession]
MakeRun = Callable[..., Any]
OpenJournal = Callable[[Path], Journal]
EVENTS: list[Event] = [
    {"event": "finished", "id": i, "error": "Fehler: ä 层 🔑\n", "metrics": {"x": 0.1 * i}} for i in range(7)
]


def _write(folder: Path, events: list[Event], segment_events: int = 100) -> None:
    journal = Journal(folder, segment_events)
    for event in events:
        journal.append(event)
    journal.close()


def _read(folder: Path, segment_events: int = 100) -> list[Event]:
    journal = Journal(folder, segment_events)
    journal.close()
    return journal.events


def test_a_new_journal_is_empty(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "journal")
    journal.close()
    assert (journal.events, journal.num_events, journal.load_state()) == ([], 0, (0, None))


def test_events_survive_without_closing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number, event in enumerate(EVENTS, 1):
        journal.append(event)
        assert _read(tmp_path) == EVENTS[:number]
        assert journal.num_events == number
    journal.close()


@pytest.mark.parametrize("segment_events", [1, 2, 3, 7, 8])
def test_full_segments_are_closed_and_never_change_again(tmp_path: Path, segment_events: int) -> None:
    closed: dict[str, bytes] = {}
    for number, event in enumerate(EVENTS, 1):
        _write(tmp_path, [event], segment_events)
        now = {path.name: path.read_bytes() for path in tmp_path.iterdir() if ".open" not in path.name}
        assert len(now) == number // segment_events
        assert closed.items() <= now.items()
        closed = now
    assert _read(tmp_path, segment_events) == EVENTS


def test_a_last_line_torn_at_any_byte_is_cut_and_the_rest_survives(tmp_path: Path) -> None:
    _write(tmp_path / "whole", EVENTS)
    data = (tmp_path / "whole" / "000001.open.jsonl").read_bytes()
    start = data[:-1].rindex(b"\n") + 1
    for end in range(start, len(data)):
        path = tmp_path / str(end) / "000001.open.jsonl"
        path.parent.mkdir()
        path.write_bytes(data[:end])
        _write(path.parent, [{"event": "next"}])
        assert _read(path.parent) == [*EVENTS[:-1], {"event": "next"}]


def test_a_torn_first_line_leaves_an_empty_journal(tmp_path: Path) -> None:
    (tmp_path / "000001.open.jsonl").write_bytes(b'{"event": "ope')
    assert _read(tmp_path) == []


@pytest.mark.parametrize("name", ["000001.jsonl", "000003.open.jsonl"])
@pytest.mark.parametrize("line", [b"{not json}", b"\xff\xfe", b""])
def test_a_damaged_line_in_the_middle_is_an_error(tmp_path: Path, name: str, line: bytes) -> None:
    _write(tmp_path, EVENTS, 3)
    (tmp_path / name).write_bytes(line + b"\n" + (tmp_path / name).read_bytes())
    with pytest.raises(RunDamagedError, match=f"{name}, line 1 is not JSON"):
        Journal(tmp_path, 3)


def test_a_closed_segment_that_is_torn_is_an_error(tmp_path: Path) -> None:
    _write(tmp_path, EVENTS, 3)
    path = tmp_path / "000002.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(RunDamagedError, match=r"000002\.jsonl"):
        Journal(tmp_path, 3)


@pytest.mark.parametrize("missing", ["000001.jsonl", "000002.jsonl"])
def test_a_closed_segment_that_is_missing_is_an_error(tmp_path: Path, missing: str) -> None:
    _write(tmp_path, EVENTS, 3)
    (tmp_path / missing).unlink()
    with pytest.raises(RunDamagedError, match="missing"):
        Journal(tmp_path, 3)


def test_a_state_is_kept_with_the_number_of_events(tmp_path: Path, open_journal: OpenJournal) -> None:
    journal = Journal(tmp_path)
    for event in EVENTS:
        journal.append(event)
    journal.store_state({"kept": ["层", 1, None]})
    journal.close()
    assert open_journal(tmp_path).load_state() == (7, {"kept": ["层", 1, None]})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"event": 3}', '{"event": "x", "state": {}}', '{"event": 99, "state": {}}'])
def test_a_state_of_no_use_is_left_out(tmp_path: Path, open_journal: OpenJournal, text: str) -> None:
    _write(tmp_path, EVENTS)
    (tmp_path / "state.json").write_text(text)
    assert open_journal(tmp_path).load_state() == (0, None)


def test_a_copy_that_holds_a_segment_twice_is_read_once(tmp_path: Path) -> None:
    events: list[Event] = [{"event": "told", "number": number} for number in range(7)]
    _write(tmp_path, events, 3)
    (tmp_path / "000002.open.jsonl").write_bytes((tmp_path / "000002.jsonl").read_bytes()[:40])  # as it was while it was open
    assert read_events(tmp_path) == events
    assert _read(tmp_path, 3) == events
    _write(tmp_path, [{"event": "told", "number": 7}], 3)
    assert _read(tmp_path, 3) == read_events(tmp_path) == [*events, {"event": "told", "number": 7}]
