"""Searches that go on from a journal: digest for digest, whatever happened."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raynas.errors import NoMoreTrials, RunExistsError, SearcherError, SearchStoppedError
from raynas.explore import Journal, Searcher, SearchSession
from raynas.explore.journal import Event
from raynas.space import Architecture, SearchSpace

MakeSession = Callable[..., SearchSession]
MakeRun = Callable[..., Any]
OpenJournal = Callable[[Path], Journal]


def _read(folder: Path, segment_events: int = 100) -> list[Event]:
    journal = Journal(folder, segment_events)
    journal.close()
    return journal.events


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


@pytest.mark.nightly
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
    for cut in range(0, size, 997):
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


def test_the_difference_of_the_spaces_is_shown(
    scripted: Any, make_session: MakeSession, tmp_path: Path, open_journal: OpenJournal, space: SearchSpace
) -> None:
    make_session(scripted(0), journal=open_journal(tmp_path)).ask()
    document = space.to_dict()
    document["width"]["_value"] = [8, 16, 32]
    with pytest.raises(RunExistsError, match=r"another space.*'width'.*24 removed.*32 added"):
        make_session(scripted(0), journal=open_journal(tmp_path), space=SearchSpace(document))


def test_another_searcher_is_refused_with_both_shown(scripted: Any, make_session: MakeSession, tmp_path: Path) -> None:
    for number, about in enumerate([{"searcher": "random"}, {"searcher": "random"}, {"searcher": "grid"}]):
        journal = Journal(tmp_path, about=about)
        try:
            if number < 2:
                make_session(scripted(0), journal=journal)
            else:
                with pytest.raises(RunExistsError, match="another searcher: random; asked for now: grid"):
                    make_session(scripted(0), journal=journal)
        finally:
            journal.close()


def test_what_ran_when_it_was_killed_is_another_attempt_that_is_no_failure(
    scripted: Any, make_session: MakeSession, tmp_path: Path, open_journal: OpenJournal
) -> None:
    make_session(scripted(0, 1), journal=open_journal(tmp_path)).ask()
    for life in (2, 3):
        session = make_session(scripted(0, 1), journal=open_journal(tmp_path), max_failures_per_trial=1)
        record = session.ask()
        assert (record.id, record.attempt, record.num_failures) == (0, life, 0)
    session.fail(0, "OSError: once")
    assert (session.ask().attempt, session.records[0].num_failures) == (4, 1)


def test_invalid_proposals_are_replayed_as_such(
    scripted: Any, make_session: MakeSession, tmp_path: Path, open_journal: OpenJournal, space: SearchSpace
) -> None:
    def nonsense(_: SearchSpace) -> Any:
        return {"nonsense": 1}

    make_session(scripted(nonsense, 4), journal=open_journal(tmp_path)).ask()
    searcher = scripted(nonsense, 4, nonsense, 5)
    session = make_session(searcher, journal=open_journal(tmp_path))
    assert session.ask().id == 1
    assert (session.ask().architecture, session.state.num_invalid) == (space.unrank(5), 2)
    assert searcher.ends == [(0, False), (2, False)]
