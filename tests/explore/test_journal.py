"""Events on disk, and searches that go on from them."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raynas.errors import NoMoreTrials, RunDamagedError, RunExistsError, SearcherError, SearchStoppedError
from raynas.explore import Journal, Searcher, SearchSession
from raynas.explore.journal import Event
from raynas.space import Architecture, SearchSpace

MakeSession = Callable[..., SearchSession]
MakeRun = Callable[..., Any]
OpenJournal = Callable[[Path], Journal]
EVENTS: list[Event] = [
    {"event": "finished", "id": i, "error": "Fehler: ä 层 🔑\n", "metrics": {"x": 0.1 * i}} for i in range(7)
]

# --- the file --------------------------------------------------------------------------------------------------------


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


# --- resuming --------------------------------------------------------------------------------------------------------

STOCK = ("random", "regularized_evolution", "spos_evolution")
NUM_TRIALS = 30  # of a run


@pytest.mark.usefixtures("frequent_states")
@pytest.mark.parametrize("name", STOCK)
def test_killed_after_any_event_it_goes_on_as_if_nothing_had_happened(
    search_run: MakeRun, killed: Any, tmp_path: Path, name: str
) -> None:
    expected = search_run(tmp_path / "whole", name).live()
    num_events = len(_read(tmp_path / "whole")) - 1
    assert num_events > 2 * NUM_TRIALS - 1
    for killed_at in range(1, num_events):
        run = search_run(tmp_path / str(killed_at), name, segment_events=25)
        with pytest.raises(killed):
            run.live(until_event=killed_at)
        finished, run.evaluated = run.ended(), []
        assert run.live() == expected, killed_at
        assert not finished & set(run.evaluated), killed_at


@pytest.mark.usefixtures("frequent_states")
@pytest.mark.parametrize("name", STOCK)
def test_killed_again_and_again_it_comes_to_the_same_end(search_run: MakeRun, killed: Any, tmp_path: Path, name: str) -> None:
    expected = search_run(tmp_path / "whole", name).live()
    run = search_run(tmp_path / "killed", name, segment_events=25)
    for _ in range(5):
        with pytest.raises(killed):
            run.live(until_event=11)
    assert run.live() == expected


@pytest.mark.usefixtures("frequent_states")
@pytest.mark.parametrize("name", STOCK)
@pytest.mark.parametrize("with_state", [True, False])
def test_cut_at_any_byte_it_goes_on_as_if_nothing_had_happened(
    search_run: MakeRun, tmp_path: Path, name: str, with_state: bool
) -> None:
    expected = search_run(tmp_path / "whole", name).live()
    size = (tmp_path / "whole" / "000001.open.jsonl").stat().st_size
    for cut in range(0, size, 389):
        folder = Path(shutil.copytree(tmp_path / "whole", tmp_path / str(cut)))
        with (folder / "000001.open.jsonl").open("r+b") as file:
            file.truncate(cut)
        if not with_state:
            (folder / "state.json").unlink()
        assert search_run(folder, name).live() == expected, cut


@pytest.mark.parametrize("name", STOCK)
def test_a_finished_search_can_be_made_longer(search_run: MakeRun, tmp_path: Path, name: str) -> None:
    expected = search_run(tmp_path / "at_once", name).live()
    run = search_run(tmp_path / "in_two", name)
    run.live(num_trials=NUM_TRIALS - 9)
    again = run.live()
    assert len(run.evaluated) == len(set(run.evaluated)) == NUM_TRIALS
    if name == "random":  # others had fewer results when they were asked, since the first part ran to its end
        assert again == expected


class Replayed(Searcher):
    """Keeps no state, and depends on every result."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.told = 0.0

    def generate_parameters(self, parameter_id: int) -> Architecture:
        return self.space.unrank(int(self.told * 1e6 + 7 * parameter_id + self.seed) % self.space.size)

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        self.told += value


def test_a_searcher_without_state_is_replayed(search_run: MakeRun, killed: Any, tmp_path: Path) -> None:
    expected = search_run(tmp_path / "whole", Replayed).live()
    for killed_at in (1, 2, 13, 40):
        run = search_run(tmp_path / str(killed_at), Replayed)
        with pytest.raises(killed):
            run.live(until_event=killed_at)
        assert run.live() == expected


def test_a_searcher_that_is_not_deterministic_gives_one_warning_and_goes_on(
    search_run: MakeRun, killed: Any, tmp_path: Path
) -> None:
    seeds = iter(range(100))
    run = search_run(tmp_path, lambda: Replayed(next(seeds)))
    with pytest.raises(killed):
        run.live(until_event=30)
    before = [event["choices"] for event in _read(tmp_path) if event["event"] == "proposed"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run.live()
    assert ["Replayed is not deterministic" in str(warning.message) for warning in caught] == [True]
    after = [event["choices"] for event in _read(tmp_path) if event["event"] == "proposed"]
    assert after[: len(before)] == before != after


def test_proposals_that_waited_for_a_trial_still_do(
    scripted: Any, make_session: MakeSession, tmp_path: Path, open_journal: OpenJournal
) -> None:
    session = make_session(scripted(0, 0, 1), journal=open_journal(tmp_path))
    session.ask()
    session.ask()
    searcher = scripted(0, 0, 1)
    resumed = make_session(searcher, journal=open_journal(tmp_path))
    assert [resumed.ask().id, resumed.ask().id] == [0, 2]
    resumed.tell(0, {"accuracy": 0.5})
    assert searcher.results == [(0, 0.5), (1, 0.5)]
    assert (resumed.num_spent, resumed.num_running) == (2, 1)


def test_a_search_that_failures_stopped_gets_another_chance(
    scripted: Any, make_session: MakeSession, tmp_path: Path, open_journal: OpenJournal
) -> None:
    session = make_session(scripted(*range(20)), journal=open_journal(tmp_path))
    while (record := session.ask()) is not None:
        session.fail(record.id, "OSError: full")
    assert isinstance(session.error, SearchStoppedError)
    resumed = make_session(scripted(*range(20)), journal=open_journal(tmp_path))
    assert resumed.error is None
    assert resumed.ask().id == 5


def test_forbidden_proposals_are_counted_on(
    scripted: Any, make_session: MakeSession, tmp_path: Path, open_journal: OpenJournal, space: SearchSpace
) -> None:
    for _ in range(2):
        searcher = scripted(0, 0, 1)
        session = make_session(searcher, journal=open_journal(tmp_path), constraint=lambda drawn: drawn != space.unrank(0))
        assert session.ask().id == 2
        assert session.num_forbidden == len(searcher.ends) == 2


def test_a_message_that_utf8_cannot_hold_is_kept(
    scripted: Any, make_session: MakeSession, tmp_path: Path, open_journal: OpenJournal
) -> None:
    session = make_session(scripted(0, 1), journal=open_journal(tmp_path))
    session.fail(session.ask().id, "FileNotFoundError: caf\udce9.png")
    resumed = make_session(scripted(0, 1), journal=open_journal(tmp_path))
    assert resumed.records[0].error == session.records[0].error == "FileNotFoundError: caf\\udce9.png"


def test_another_space_is_refused(scripted: Any, make_session: MakeSession, tmp_path: Path, open_journal: OpenJournal) -> None:
    make_session(scripted(0), journal=open_journal(tmp_path)).ask()
    other = SearchSpace({"width": {"_type": "choice", "_value": [8, 16]}})
    with pytest.raises(RunExistsError, match="another space"):
        make_session(scripted(0), journal=open_journal(tmp_path), space=other)


@pytest.mark.parametrize("asked", [{"metric": "loss"}, {"mode": "min"}])
def test_another_objective_is_refused(
    scripted: Any, make_session: MakeSession, tmp_path: Path, open_journal: OpenJournal, asked: dict[str, str]
) -> None:
    make_session(scripted(0), journal=open_journal(tmp_path)).ask()
    with pytest.raises(RunExistsError, match="another objective"):
        make_session(scripted(0), journal=open_journal(tmp_path), **asked)


@pytest.mark.usefixtures("frequent_states")
def test_the_state_of_another_searcher_is_refused_by_name(search_run: MakeRun, killed: Any, tmp_path: Path) -> None:
    with pytest.raises(killed):
        search_run(tmp_path, "random").live(until_event=20)
    with pytest.raises(SearcherError, match="RegularizedEvolutionSearcher cannot load"):
        search_run(tmp_path, "regularized_evolution").live()


def test_no_more_trials_is_not_kept(
    scripted: Any, make_session: MakeSession, tmp_path: Path, open_journal: OpenJournal
) -> None:
    session = make_session(scripted(0, NoMoreTrials("for now")), journal=open_journal(tmp_path))
    assert [session.ask().id, session.ask()] == [0, None]
    session.tell(0, {"accuracy": 0.5})
    assert make_session(scripted(0, 1), journal=open_journal(tmp_path)).ask().id == 1
