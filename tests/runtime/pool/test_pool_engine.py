"""The same search on warm evaluators: what they are given, what becomes of them, what is left of a search.

That machines come and go is in ``test_evaluator_group``.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

import raynas
from raynas.errors import OptionError, SearchStoppedError, TaskError
from raynas.explore import Searcher, SearchSession
from raynas.explore.journal import read_events

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]

SPACE = raynas.SearchSpace({f"k{i}": {"_type": "choice", "_value": [0, 1, 2]} for i in range(6)})
OPTIONS = {"population_size": 12, "num_parents": 4, "seed": 3}


def evaluate(trial: raynas.Trial) -> None:
    trial.report(accuracy=sum(int(choice.value) * (i + 1) for i, choice in enumerate(trial.architecture.values())))


def slots(number: int) -> dict[str, float]:
    return {"cpu": ray.cluster_resources()["CPU"] / number}


def pool(evaluate: Any, num_trials: int, num_slots: int = 1, **options: Any) -> raynas.SearchResult:
    resources = slots(num_slots)
    return raynas.search(
        SPACE, evaluate, engine="pool", num_trials=num_trials, resources_per_trial=resources, progress=False, **options
    )


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(folder / "search" / "journal") if event["event"] == kind]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def write(path: Path, *words: object) -> None:
    with path.open("a") as file:
        file.write(" ".join(map(str, words)) + "\n")


def is_alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pids: set[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [pid for pid in pids if is_alive(pid)]


def test_the_result_does_not_depend_on_the_engine_or_on_how_many_run_at_once(tmp_path: Path) -> None:
    options = {"searcher": "spos_evolution", "searcher_options": OPTIONS}
    local = raynas.search(SPACE, evaluate, num_trials=30, engine="local", **options)  # type: ignore[arg-type]
    pooled = pool(evaluate, 30, 2, max_concurrent=3, storage_path=tmp_path, **options)
    assert pooled.engine == "pool"
    assert pooled.trials.column("digest") == local.trials.column("digest")
    assert pooled.trials.column("accuracy") == local.trials.column("accuracy")
    assert pooled.best.architecture == local.best.architecture
    assert raynas.Architecture.load(SPACE, tmp_path / "search" / "best.json") == pooled.best.architecture
    assert pooled.trials.column("node") == local.trials.column("node")


@pytest.mark.parametrize("at_once", [1, 5])
def test_no_more_are_outstanding_than_are_wanted(at_once: int) -> None:
    seen: list[int] = []

    def note(session: SearchSession) -> None:
        seen.append(session.num_running)

    options = {"searcher": "regularized_evolution", "searcher_options": {"population_size": 8, "sample_size": 3}}
    result = pool(evaluate, 80, max_concurrent=at_once, on_event=note, **options)
    assert max(seen) == at_once
    if at_once == 1:
        local = raynas.search(SPACE, evaluate, num_trials=80, engine="local", **options)  # type: ignore[arg-type]
        assert result.trials.column("digest") == local.trials.column("digest")


def test_trials_that_raise_fail_the_search_goes_on_and_what_is_saved_is_in_the_run_folder(tmp_path: Path) -> None:
    def sometimes(trial: raynas.Trial) -> None:
        if trial.id % 2:
            raise ZeroDivisionError(f"in trial {trial.id}")
        path = tmp_path / f"{trial.id}.txt"
        path.write_text(str(trial.id))
        trial.save(path)
        trial.report(accuracy=1)

    result = pool(sometimes, 8, storage_path=tmp_path / "runs")
    assert [record.state for record in result.records.values()] == ["completed", "failed"] * 4
    assert str(result.records[1].error).startswith("ZeroDivisionError: in trial 1\nTraceback")
    assert (tmp_path / "runs" / "search" / "checkpoints" / "00002" / "2.txt").read_text() == "2"
    told = json.loads((tmp_path / "runs" / "search" / "result.json").read_text())
    assert (told["engine"], told["num_completed"], told["num_failed"]) == ("pool", 4, 4)


def test_an_evaluator_that_dies_is_replaced_and_only_the_trial_that_it_was_at_has_failed(tmp_path: Path) -> None:
    ran, died = tmp_path / "ran", tmp_path / "died"

    def dies_once(trial: raynas.Trial) -> None:
        write(ran, trial.id, os.getpid())
        if trial.id == 100 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        trial.report(accuracy=trial.id)

    result = pool(dies_once, 200, storage_path=tmp_path)
    assert result.trials.column("accuracy").to_pylist() == list(range(200))
    assert sorted(event["id"] for event in events(tmp_path, "finished")) == list(range(200))
    (again,) = events(tmp_path, "retried")
    assert (again["id"], again["error"], again["interrupted"]) == (100, "the worker of this trial died", False)
    assert [record.attempt for record in result.records.values()] == [1] * 100 + [2] + [1] * 99
    assert len({line.split()[1] for line in lines(ran)}) == 2
    assert [int(line.split()[0]) for line in lines(ran)].count(100) == 2
    assert len(lines(ran)) == 201, "what had ended, or was not begun, was not evaluated twice"


def test_a_trial_that_always_kills_its_evaluator_fails_and_the_others_do_not() -> None:
    def deadly(trial: raynas.Trial) -> None:
        if trial.id == 20:
            os._exit(1)
        trial.report(accuracy=1)

    result = pool(deadly, 40)
    assert {record.id for record in result.records.values() if record.state != "completed"} == {20}
    failed = result.records[20]
    assert (failed.state, failed.error, failed.attempt, failed.num_failures) == (
        "failed",
        "the worker of this trial died",
        2,
        1,
    )


def test_a_trial_that_hangs_is_ended_and_those_behind_it_run_elsewhere(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def hangs(trial: raynas.Trial) -> None:
        write(ran, trial.id, os.getpid())
        trial.report(accuracy=1)
        if trial.id == 60:
            time.sleep(600)

    start = time.monotonic()
    result = pool(hangs, 100, trial_timeout=1.5)
    assert time.monotonic() - start < 100
    cause = "the trial took longer than trial_timeout=1.5 s; its worker was ended"
    assert [record.id for record in result.records.values() if record.state != "completed"] == [60]
    assert (result.records[60].state, result.records[60].error) == ("failed", cause)
    assert len(lines(ran)) == 100
    pids = [int(line.split()[1]) for line in lines(ran)]
    assert len(set(pids)) == 2
    wait_until_gone(set(pids), 5)


@pytest.mark.nightly
def test_an_evaluator_that_is_stopped_as_a_whole_is_ended_too(tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"

    def stops(trial: raynas.Trial) -> None:
        if trial.id == 5 and not stopped.exists():
            stopped.touch()
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(600)  # until every thread has heard of it
        trial.report(accuracy=1)

    result = pool(stops, 10, trial_timeout=1, max_failures_per_trial=1)
    assert result.trials.column("state").to_pylist() == ["completed"] * 10
    assert [record.attempt for record in result.records.values()] == [1] * 5 + [2] + [1] * 4


def test_what_waits_behind_a_long_trial_is_taken_by_an_idle_evaluator(tmp_path: Path) -> None:
    ended, evaluators = tmp_path / "ended", tmp_path / "evaluators"

    class Uneven:
        def setup(self) -> None:
            write(evaluators, os.getpid())

        def evaluate(self, trial: raynas.Trial) -> None:
            if trial.id == 150:
                deadline = time.monotonic() + 30
                while len(lines(ended)) < 199 and time.monotonic() < deadline:
                    time.sleep(0.05)
            elif trial.id == 0:  # with both evaluators there
                while len(lines(evaluators)) < 2:
                    time.sleep(0.05)
            write(ended, trial.id)
            trial.report(accuracy=1)

    result = pool(Uneven, 200, 2)
    assert {record.state for record in result.records.values()} == {"completed"}
    assert lines(ended)[-1] == "150"
    assert {record.attempt for record in result.records.values()} == {1}


class Generations(Searcher):
    """Proposes ten at a time, and the next ten when it has heard of all of these."""

    outstanding = 0

    def generate_parameters(self, parameter_id: int) -> raynas.Architecture | None:
        if parameter_id % 10 == 0 and self.outstanding:
            return None
        self.outstanding += 1
        return self.space.unrank(parameter_id)

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self.outstanding -= 1


def test_a_searcher_that_waits_is_waited_for() -> None:
    most: list[int] = []
    result = pool(evaluate, 60, 2, searcher=Generations(), on_event=lambda session: most.append(session.num_running))
    assert {record.state for record in result.records.values()} == {"completed"}
    assert max(most) <= 10


def test_a_metric_that_never_arrives_ends_the_search_with_its_name() -> None:
    with pytest.raises(SearchStoppedError, match=r"'accuracy' was not reported; reported: loss"):
        pool(lambda trial: trial.report(loss=1.0), 50)


def test_what_cannot_be_pickled_is_named() -> None:
    lock = threading.Lock()
    with pytest.raises(TaskError, match=r"evaluate.* cannot be pickled"):
        pool(lambda _: lock.acquire(), 1)


def test_a_class_is_set_up_once_in_each_evaluator_and_keeps_its_state() -> None:
    class Counting:
        def setup(self) -> None:
            self.count = 0

        def evaluate(self, trial: raynas.Trial) -> None:
            self.count += 1
            trial.report(accuracy=self.count)

    assert pool(Counting, 50).trials.column("accuracy").to_pylist() == list(range(1, 51))


def test_a_setup_that_raises_is_an_error_with_its_cause_and_leaves_the_name_free(tmp_path: Path) -> None:
    tried = tmp_path / "tried"

    class Broken:
        def setup(self) -> None:
            write(tried, os.getpid())
            raise FileNotFoundError("no data here")

        def evaluate(self, trial: raynas.Trial) -> None:
            raise AssertionError

    with pytest.raises(SearchStoppedError, match="evaluate could not be set up: FileNotFoundError: no data here") as raised:
        pool(Broken, 10, storage_path=tmp_path / "runs")
    assert isinstance(raised.value.__cause__, FileNotFoundError)
    assert len(lines(tried)) == 1
    assert not any((tmp_path / "runs").iterdir())


def test_what_is_no_evaluate_is_refused_as_in_every_engine() -> None:
    with pytest.raises(OptionError, match="evaluate is 3; expected a function of a trial"):
        pool(3, 1)


@pytest.mark.nightly
def test_evaluators_that_always_die_in_their_setup_end_the_search(tmp_path: Path) -> None:
    tried = tmp_path / "tried"

    class Deadly:
        def setup(self) -> None:
            write(tried, os.getpid())
            os._exit(1)

        def evaluate(self, trial: raynas.Trial) -> None:
            raise AssertionError

    with pytest.raises(SearchStoppedError, match="3 evaluators die in their setup, one after the other"):
        pool(Deadly, 10)
    assert len(lines(tried)) == 3


def test_what_a_trial_reports_on_its_way_is_in_the_history_while_it_goes_on(tmp_path: Path) -> None:
    def trains(trial: raynas.Trial) -> None:
        for epoch in range(25):
            trial.report(accuracy=epoch)
            time.sleep(0.1)

    result = pool(trains, 1, storage_path=tmp_path)
    assert result.records[0].metrics == {"accuracy": 24}
    assert 1 <= len(events(tmp_path, "reported")) <= 4


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """The signal as in a shell: whoever starts the tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_it_at_once_and_nothing_is_left_running(tmp_path: Path) -> None:
    ran, driver = tmp_path / "ran", os.getpid()

    def interrupts(trial: raynas.Trial) -> None:
        write(ran, trial.id, os.getpid(), time.time())
        if trial.id == 30:
            os.kill(driver, signal.SIGINT)
            time.sleep(600)
        trial.report(accuracy=1)

    with pytest.raises(KeyboardInterrupt):
        pool(interrupts, 100, storage_path=tmp_path)
    *_, pid, at = lines(ran)[-1].split()
    assert time.time() - float(at) < 10
    wait_until_gone({int(pid)}, 5)
    result = pool(evaluate, 100, storage_path=tmp_path, resume=True)
    assert {record.state for record in result.records.values()} == {"completed"}
    assert sorted(event["id"] for event in events(tmp_path, "finished")) == list(range(100))


def test_schedulers_are_ray_tunes() -> None:
    with pytest.raises(OptionError, match='take engine="tune"'):
        pool(evaluate, 1, scheduler=object())


def test_a_search_that_was_at_its_end_starts_no_evaluators(tmp_path: Path) -> None:
    class Once:
        def setup(self) -> None:
            write(tmp_path / "set-up", os.getpid())

        def evaluate(self, trial: raynas.Trial) -> None:
            trial.report(accuracy=1)

    pool(Once, 3, storage_path=tmp_path)
    assert pool(Once, 3, storage_path=tmp_path, resume=True).num_spent == 3
    assert len(lines(tmp_path / "set-up")) == 1
