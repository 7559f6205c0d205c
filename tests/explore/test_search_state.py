"""What events add up to; that it can be read while someone else writes; what is known before the first proposal."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from raynas.errors import OptionError, RunDamagedError
from raynas.explore import Journal, Objective, SearchSession, SearchState, dominates, pareto_front
from raynas.space import SearchSpace

MakeSession = Callable[..., SearchSession]
OpenJournal = Callable[[Path], Journal]


def _play(session: SearchSession, rng: Random, steps: int = 60) -> None:
    running: list[int] = []
    for _ in range(steps):
        if len(running) < 3 and (record := session.ask()) is not None:
            running.append(record.id)
        if running and rng.random() < 0.6:
            number = running.pop(rng.randrange(len(running)))
            end = rng.choice(["tell", "tell", "fail", "stop", "report"])
            metrics = {"accuracy": round(rng.random(), 1), "flops": rng.randrange(5)}
            if end == "report":
                session.report(number, metrics)
                running.append(number)
            elif end == "fail":
                session.fail(number, "ValueError: no")
            else:
                getattr(session, end)(number, metrics)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("objective", [("accuracy", "max"), (["accuracy", "flops"], ["max", "min"])], ids=["one", "two"])
def test_what_is_read_from_the_journal_is_what_the_live_search_knows(
    scripted: Any, make_session: MakeSession, tmp_path: Path, open_journal: OpenJournal, objective: Any, seed: int
) -> None:
    metric, mode = objective
    rng = Random(seed)
    numbers = [rng.randrange(30) for _ in range(60)]
    session = make_session(
        scripted(*numbers),
        metric=metric,
        mode=mode,
        journal=open_journal(tmp_path),
        constraint=lambda architecture: architecture != architecture.space.unrank(3),
        max_same_failures=99,
        patience=99,
    )
    _play(session, rng)
    read = SearchState.read(tmp_path)
    live = session.state
    for name in ("num_spent", "num_running", "num_failed", "num_forbidden", "next_id", "num_since_best", "num_in_a_row"):
        assert getattr(read, name) == getattr(live, name), name
    assert [_without_times(record) for record in read.records.values()] == [_without_times(r) for r in live.records.values()]
    assert [record.id for record in read.front()] == [record.id for record in live.front()]
    assert [record.id for record in read.running()] == [record.id for record in live.running()]


def _without_times(record: Any) -> tuple[Any, ...]:
    return record.id, record.state, record.architecture.digest, record.budget, record.metrics, record.attempt, record.error


@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_that_of_all_completed_trials(scripted: Any, make_session: MakeSession, seed: int) -> None:
    rng = Random(seed)
    session = make_session(scripted(*range(60)), metric=["accuracy", "flops"], mode=["max", "min"], max_same_failures=99)
    _play(session, rng, 100)
    completed = session.state.completed()
    points = [session.objective.point(record.metrics) for record in completed]
    assert [record.id for record in session.state.front()] == [completed[at].id for at in pareto_front(points)]
    assert not any(
        dominates(first, second)
        for first in map(session.objective.point, (r.metrics for r in session.state.front()))
        for second in map(session.objective.point, (r.metrics for r in session.state.front()))
    )


def test_reading_changes_nothing_and_leaves_a_torn_line_to_its_writer(
    scripted: Any, make_session: MakeSession, tmp_path: Path, open_journal: OpenJournal
) -> None:
    session = make_session(scripted(0, 1), journal=open_journal(tmp_path))
    session.tell(session.ask().id, {"accuracy": 0.5})
    path = tmp_path / "000001.open.jsonl"
    with path.open("ab") as file:
        file.write(b'{"event": "prop')
    before = path.read_bytes()
    assert SearchState.read(tmp_path).best().id == 0
    assert path.read_bytes() == before


def test_no_journal_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunDamagedError, match="no journal"):
        SearchState.read(tmp_path)


def test_an_event_of_a_newer_version_is_refused(space: SearchSpace) -> None:
    with pytest.raises(RunDamagedError, match="'painted'"):
        SearchState(space, Objective("accuracy", "max")).apply({"event": "painted"})


# --- what is known before the first proposal -------------------------------------------------------------------------


class _Noting:
    """Mixed into a scripted searcher: what it is told before it is asked."""

    imported: list[Any]

    def import_data(self, data: Any) -> None:
        self.imported = [*getattr(self, "imported", []), *((entry["parameter"], entry["value"]) for entry in data)]


def test_initial_architectures_run_first_and_are_imported_all_at_once(
    scripted: Any, make_session: MakeSession, space: SearchSpace
) -> None:
    kind = type("NotingSearcher", (_Noting, scripted), {})
    searcher = kind(7)
    session = make_session(searcher)
    session.start_from([space.unrank(number) for number in (3, 4, 5)])
    assert [session.ask().architecture for _ in range(3)] == [space.unrank(number) for number in (3, 4, 5)]
    assert session.ask() is None
    assert not session.done
    session.tell(1, {"accuracy": 0.4})
    session.fail(0, "ValueError: no")
    assert session.ask() is None
    session.tell(2, {"accuracy": 0.7})
    assert session.ask().architecture == space.unrank(7)
    assert searcher.imported == [(space.unrank(4), 0.4), (space.unrank(5), 0.7)]
    assert (searcher.results, searcher.ends, session.num_spent) == ([], [], 4)


def test_results_from_elsewhere_are_told_once_also_when_it_is_resumed(
    scripted: Any, make_session: MakeSession, space: SearchSpace, tmp_path: Path, open_journal: OpenJournal
) -> None:
    kind = type("NotingSearcher", (_Noting, scripted), {})
    results = [{"parameter": space.unrank(9), "metrics": {"accuracy": 2.0}}]
    initial = [space.unrank(1), space.unrank(2)]
    for life in range(3):
        searcher = kind(7, 8)
        session = make_session(searcher, journal=open_journal(tmp_path), mode="min")
        session.start_from(initial, results)
        record = session.ask()
        assert record.architecture == (initial[life] if life < 2 else space.unrank(7))
        session.tell(record.id, {"accuracy": float(life)})
        assert searcher.imported[0] == (space.unrank(9), -2.0)
    assert searcher.imported == [(space.unrank(9), -2.0), (space.unrank(1), 0.0), (space.unrank(2), -1.0)]
    assert [record.attempt for record in session.records.values()] == [1, 1, 1]


def test_a_forbidden_initial_architecture_is_refused(scripted: Any, make_session: MakeSession, space: SearchSpace) -> None:
    session = make_session(scripted(0), constraint=lambda architecture: architecture != space.unrank(1))
    with pytest.raises(OptionError, match="initial architecture 1"):
        session.start_from([space.unrank(0), space.unrank(1)])
