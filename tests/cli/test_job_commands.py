from pathlib import Path

from tests.cli.command import Command, assert_is_one_error


def test_a_cluster_that_is_not_there_is_one_error(here: Command, tmp_path: Path) -> None:
    address = "http://127.0.0.1:9"
    (tmp_path / "task.py").write_text("task = None\n")
    assert_is_one_error(here("submit", "task.py", "--address", address, "--storage", "/mnt/runs"), "cannot be reached")
    assert_is_one_error(here("submit", "task.py", "--address", address), "'runs' is a relative path")
    assert_is_one_error(here("submit", "none.py", "--address", address, "--storage", "/mnt/runs"), "none.py cannot be run")
    assert_is_one_error(here("run", "task.py", "--address", address, "--storage", "/mnt/runs"), "cannot be reached")
    assert_is_one_error(here("resume", "/mnt/runs/task", "--address", address), "cannot be reached")
    assert_is_one_error(here("logs", "task", "--address", address), "cannot be reached")
    assert_is_one_error(here("download", "/mnt/runs/task", "--address", address), "cannot be reached")
    assert_is_one_error(here("doctor", "--address", "ray://127.0.0.1:9"), "raynas submit --address http://")
