import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raynas.api.run_archive import unpack
from raynas.api.run_folder import RunFolder
from raynas.storage import Storage
from tests.cli.command import DIGITS, RAYNAS, Command, assert_is_one_error, raynas
from tests.cluster.hosts import why_not
from tests.whole_run import SECRETS, assert_is_whole, assert_nothing_holds_a_secret

SMALL = ["--supernet-epochs", "4", "--num-trials", "12", "--retrain-epochs", "1", "--num-random", "2"]
IN_PROCESS = ["--num-workers", "0", "--engine", "local"]
SMALLEST = ["--supernet-epochs", "1", "--num-trials", "5", "--retrain-epochs", "1", "--num-random", "1"]


@pytest.mark.timeout(240)
def test_a_run_in_process_is_the_same_twice_and_can_be_looked_at_again(
    here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    other_process = raynas("run", str(DIGITS), *SMALLEST, *IN_PROCESS, cwd=tmp_path)
    for number, result in (("001", other_process), ("002", here("run", str(DIGITS), *SMALLEST, *IN_PROCESS))):
        assert result.returncode == 0, result.stderr
        assert f"next: open runs/digits-{number}/report.html" in result.stdout
    best = [(tmp_path / "runs" / f"digits-{number}" / "best.json").read_text() for number in ("001", "002")]
    assert best[0] == best[1]
    assert "test accuracy, retrained" in here("report", "runs/digits-001").stdout
    figures = json.loads(here("report", "runs/digits-001", "--json").stdout)
    assert figures["num_trials"] == 5
    assert figures["report"] == "runs/digits-001/report.html"
    resumed = here("resume", "runs/digits-001")
    assert "supernet " not in resumed.stdout.split("architectures in the space")[0]
    as_json = json.loads(here("retrain", str(DIGITS), "runs/digits-001/best.json", "--epochs", "1", "--json").stdout)
    assert as_json["split"] == "test"
    assert 0 <= as_json["metrics"]["accuracy"] <= 1
    assert_nothing_holds_a_secret(tmp_path, other_process.stdout, other_process.stderr, resumed.stdout)


def interrupt_in_search(arguments: list[str], cwd: Path) -> tuple[int, str]:
    """Start a command in a process group of its own, send it what Ctrl-C sends once trials are proposed, wait for its end.

    Not before: while Ray Tune is imported, an ``except`` for everything in one of its parts may swallow the signal.
    """
    output, journal = cwd / "output.txt", cwd / "runs" / "digits-001" / "journal"
    with output.open("w") as file:
        process = subprocess.Popen([*RAYNAS, *arguments], cwd=cwd, stdout=file, stderr=file, start_new_session=True)
    deadline = time.monotonic() + 150
    while not any("proposed" in path.read_text() for path in journal.glob("*.jsonl")) and time.monotonic() < deadline:
        assert process.poll() is None, output.read_text()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    return process.wait(timeout=60), output.read_text()


@pytest.mark.timeout(240)
def test_a_run_is_kept_in_an_object_store(here: Command, tmp_path: Path, s3: Callable[[], str]) -> None:
    runs = Storage(s3())
    run, shown = runs.folder("digits-001"), f"{runs.path('digits-001')}"
    searched = here("search", str(DIGITS), *SMALLEST, *IN_PROCESS, "--storage", runs.place)
    assert searched.returncode == 0, searched.stderr
    assert f"next: raynas resume {shown}" in searched.stdout
    assert not run.exists("report.html")
    resumed = here("resume", run.place)
    assert resumed.returncode == 0, resumed.stderr
    assert f"next: open {shown}/report.html" in resumed.stdout
    run.delete("report.html")
    assert f"{shown}/report.html" in here("report", run.place).stdout
    packed = here("pack", run.place, "--all").stdout.splitlines()
    assert_is_whole(unpack(packed, tmp_path / "fetched"), 5)
    assert (tmp_path / "fetched" / "weights").is_dir()
    assert (tmp_path / "fetched" / "retrain" / "checkpoints" / "00000.tar").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["fetched"]  # nothing here


@pytest.mark.nightly
@pytest.mark.demo
@pytest.mark.timeout(500)
def test_a_run_in_an_object_store_whose_driver_is_killed(tmp_path: Path, s3: Callable[[], str]) -> None:
    runs = Storage(s3())
    run, journal = runs.folder("digits-001"), "digits-001/journal/000001.open.jsonl"
    process = subprocess.Popen([*RAYNAS, "run", str(DIGITS), *SMALL, "--storage", runs.place], cwd=tmp_path)
    deadline = time.monotonic() + 250
    while not (runs.exists(journal) and b'"finished"' in runs.read(journal)):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    shards = runs.names("digits-001/weights/shards")
    assert shards
    result = raynas("resume", run.place, cwd=tmp_path, timeout=300)
    assert result.returncode == 0, result.stderr
    assert runs.names("digits-001/weights/shards") == shards  # it was not trained again
    folder = RunFolder.open(run.place, everything=True)
    assert_is_whole(folder.path, 12)
    assert sorted(pq.read_table(folder.trials).column("id").to_pylist()) == list(range(12))


@pytest.mark.demo
@pytest.mark.skipif(why_not() is None, reason="tests/cluster runs the same on three hosts, which this machine allows")
@pytest.mark.timeout(300)
def test_the_whole_path_through_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS["AWS_SECRET_ACCESS_KEY"])
    result = raynas("run", str(DIGITS), *SMALL, cwd=tmp_path, timeout=280)
    assert result.returncode == 0, result.stderr
    assert "2 workers" in result.stdout
    assert_all_end(tmp_path)
    assert_is_whole(tmp_path / "runs" / "digits-001", 12)
    assert_nothing_holds_a_secret(tmp_path / "runs", result.stdout, result.stderr)


@pytest.mark.nightly
@pytest.mark.demo
@pytest.mark.timeout(500)
def test_the_whole_path_through_ray_interrupted_and_resumed(tmp_path: Path) -> None:
    code, output = interrupt_in_search(["run", str(DIGITS), *SMALL], tmp_path)
    assert code == 130, output
    assert "go on with: raynas resume runs/digits-001" in output
    assert_all_end(tmp_path)
    run = tmp_path / "runs" / "digits-001"
    shards = sorted(path.name for path in (run / "weights" / "shards").iterdir())
    result = raynas("resume", "runs/digits-001", cwd=tmp_path, timeout=300)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (run / "weights" / "shards").iterdir()) == shards  # it was not trained again
    assert_is_whole(run, 12)


def assert_all_end(folder: Path) -> None:
    """Within ten seconds of a command's end, none of the processes that it started is left."""
    deadline = time.monotonic() + 10
    while (left := _processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def _processes_of(folder: Path) -> list[str]:
    """Command lines of living processes whose working directory is the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


GOOD = DIGITS.read_text()
TASKS = {
    "no_mutables": (
        GOOD + "\nimport dataclasses\ntask = dataclasses.replace(task, model=lambda: nn.Linear(2, 2))\n",
        "nothing to search",
    ),
    "no_task": ("import raynas\n", "defines nothing under the name task"),
    "clash": (
        "import raynas\nfrom torch import nn\nfrom raynas.nn import LayerChoice\n"
        "net = lambda: nn.Sequential(LayerChoice({'a': nn.ReLU()}, key='op'), LayerChoice({'b': nn.ReLU()}, key='op'))\n"
        "task = raynas.Task(model=net, loss=nn.MSELoss(), optimizer=lambda p: None, train_data=[1], valid_data=[1])\n",
        r"'op' is used twice with different candidates: \['a'\] and \['b'\]",
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_a_wrong_file_is_one_error(here: Command, tmp_path: Path, name: str) -> None:
    text, message = TASKS[name]
    (tmp_path / "mine.py").write_text(text)
    assert_is_one_error(here("run", "mine.py"), message)
    assert not (tmp_path / "runs").exists()


def test_a_run_that_exists_and_one_that_does_not_are_one_error_each(here: Command, tmp_path: Path) -> None:
    (tmp_path / "runs" / "mine" / "something").mkdir(parents=True)
    assert_is_one_error(here("run", str(DIGITS), "--name", "mine"), "runs/mine is there already")
    assert_is_one_error(here("resume", "runs/yours"), r"no run runs/yours; in runs there is mine")
    assert_is_one_error(here("resume", "runs/mine"), "was not started from a file")
    assert_is_one_error(here("report", "runs/mine"), r"search_space\.json")
    (tmp_path / "runs" / "linked").mkdir()
    (tmp_path / "runs" / "linked" / "digits.py").symlink_to(DIGITS)
    for name in ("digits.py", "../../examples/digits.py", str(DIGITS)):
        (tmp_path / "runs" / "linked" / "plan.json").write_text(json.dumps({"file": name, "plan": {}}))
        assert_is_one_error(here("resume", "runs/linked"), "was not started from a file")


@pytest.mark.nightly
@pytest.mark.demo
def test_data_that_cannot_be_pickled_is_one_error(tmp_path: Path) -> None:
    text = GOOD + (
        "\nimport dataclasses, threading\nclass Locked(TensorDataset):\n    lock = None\n"
        "data = Locked(torch.zeros(64, 1, 8, 8), torch.zeros(64, dtype=torch.long))\ndata.lock = threading.Lock()\n"
        "task = dataclasses.replace(task, train_data=data)\n"
    )
    (tmp_path / "mine.py").write_text(text)
    assert_is_one_error(raynas("run", "mine.py", *SMALL, cwd=tmp_path), r"task\.train_data\.lock cannot be pickled")


def test_a_metric_that_never_arrives_is_one_error_and_the_trials_are_kept(here: Command, tmp_path: Path) -> None:
    text = GOOD + "\nimport dataclasses\ntask = dataclasses.replace(task, metrics={'accuracy': lambda o, t: float('nan')})\n"
    (tmp_path / "mine.py").write_text(text)
    assert_is_one_error(here("run", "mine.py", *SMALL, *IN_PROCESS), "5 trials in a row.*'accuracy' is nan")
    table = pq.read_table(tmp_path / "runs" / "mine-001" / "trials.parquet")
    assert table.column("state").to_pylist() == ["failed"] * 5
