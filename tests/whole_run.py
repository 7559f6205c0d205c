"""What a whole run leaves, whichever way it went."""

import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq

SECRETS = {"RAY_AUTH_TOKEN": "planted-token-1", "AWS_SECRET_ACCESS_KEY": "planted-key-2"}


def assert_nothing_holds_a_secret(folder: Path, *texts: str, secrets: Iterable[str] = SECRETS.values()) -> None:
    held = [text.encode() for text in texts] + [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert len(held) > 10
    assert not any(secret.encode() in content for content in held for secret in secrets)


def assert_is_whole(run: Path, num_trials: int) -> None:
    """The run folder holds what the documentation lists, and its figures agree with each other."""
    figures = json.loads((run / "result.json").read_text())
    names = {"space_size", "num_trials", "best_architecture", "inherited_accuracy", "test_accuracy", "flops", "versions"}
    assert names | {"random_test_accuracy_mean"} <= set(figures)
    assert set(figures["seconds"]) == {"space", "supernet", "search", "retrain", "report"}
    assert figures["best_architecture"] == json.loads((run / "best.json").read_text())
    assert figures["flops"] <= figures["max_flops"]
    trials = pq.read_table(run / "trials.parquet")
    completed = [row for row in trials.to_pylist() if row["state"] == "completed"]
    assert len(completed) == figures["num_trials"] == num_trials
    assert max(row["accuracy"] for row in completed) == figures["inherited_accuracy"]
    assert all(row["flops"] <= figures["max_flops"] for row in completed)
    page = (run / "report.html").read_text()
    assert page.count("<svg") == 4  # trials, front, parallel coordinates, and the supernet's training
    for name in ("search_space.json", "plan.json", "digits.py", "model.safetensors"):
        assert (run / name).is_file(), name
    assert list((run / "tensorboard").rglob("events.*"))
