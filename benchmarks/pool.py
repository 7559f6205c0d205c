"""Warm evaluators: trivial architectures a second; scores on one and two slots beside the loop in this process, and Tune.

Every evaluation has one thread: left to themselves a loop, and a slot of two CPUs, take two. Processors of a virtual machine
change their speed from second to second, by as much as one half, so each architecture's shortest time over the rounds is
compared as well (``cost``), and what of the slots' time is spent with evaluating (``busy``). Two loops at once, each in a
process of its own, without Ray, show what two slots could come to on this machine at most.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file lies profile.py, which torch would import
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is there

import ray

import raynas
from raynas.runtime import connect, disconnect

ROOT = Path(__file__).resolve().parents[1]
SPACE = raynas.SearchSpace({f"layer{i}": {"_type": "layer_choice", "_value": ["a", "b", "c"]} for i in range(20)})
WARM_UP = 0.2  # of the trials of a search, which are not measured


def trivial(trial: raynas.Trial) -> None:
    trial.report(accuracy=int(trial.architecture.digest[:8], 16) / 2**32)  # no two alike, so that no proposal is a repeat


class Together:
    """An ``evaluate`` whose first trials wait until all evaluators are there, so that what is measured is all of them."""

    def __init__(self, evaluate: Any, folder: Path, num_slots: int) -> None:
        self.evaluate_one, self.folder, self.num_slots = evaluate, folder, num_slots

    def setup(self) -> None:
        self.evaluate_one.setup()
        (self.folder / f"{os.getpid()}.there").touch()

    def evaluate(self, trial: raynas.Trial) -> None:
        while self.num_slots and len(list(self.folder.glob("*.there"))) < self.num_slots:
            time.sleep(0.01)
        self.num_slots = 0
        start = time.perf_counter()
        self.evaluate_one.evaluate(trial)
        trial.report(milliseconds=1e3 * (time.perf_counter() - start))


def trivial_rates(num_trials: int) -> tuple[float, float]:
    """Trials a second with journal, tables and progress line: of the whole search, and once the evaluators are there."""
    first: list[tuple[float, int]] = []

    def note(session: raynas.explore.SearchSession) -> None:
        if not first and session.num_spent > session.num_running:
            first.append((time.time(), session.num_spent - session.num_running))

    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"engine": "pool", "storage_path": folder, "progress": True, "on_event": note}
        result = raynas.search(SPACE, trivial, num_trials=num_trials, **options)
        end = time.time()
    assert set(result.trials.column("state").to_pylist()) == {"completed"}
    started, done = first[0]
    return num_trials / result.seconds, (num_trials - done) / (end - started)


class Scores:
    """Searches that score the digits' supernet, with weights as they are drawn: it takes as long as with trained ones."""

    def __init__(self, num_trials: int) -> None:
        task, _ = raynas.load_task_file(ROOT / "examples" / "digits.py")
        net = task.model()
        raynas.WeightRegistry("benchmark-pool").publish(net)
        self.space, self.num_trials = raynas.generate_search_space(net), num_trials
        self.evaluate = raynas.inherited(task, registry="benchmark-pool")
        self.metric, self.mode = task.objective
        self.busy_share = 0.0  # of the slots, in the last search
        self.milliseconds: dict[int, float] = {}  # that each trial of it took

    def rate(self, engine: str, num_slots: int, num_cpus: float, together: Path | None = None) -> float:
        """Scores a second, when all evaluators are warm; ``together``: those of all processes that are told of this folder."""
        sent = self.evaluate.to_workers()
        with tempfile.TemporaryDirectory() as folder:
            result = raynas.search(
                self.space,
                Together(sent, together or Path(folder), num_slots),
                metric=self.metric,
                mode=self.mode,
                num_trials=self.num_trials,
                engine=engine,
                resources_per_trial={"cpu": num_cpus / num_slots},
                storage_path=folder,
                progress=False,
            )
        spans = sorted((record.end, record.start) for record in result.records.values() if record.end and record.start)
        skipped = max(1, int(WARM_UP * len(spans)))
        begin, measured = spans[skipped - 1][0], spans[skipped:]
        seconds = spans[-1][0] - begin
        warm = (record for record in result.records.values() if record.id >= skipped)
        self.milliseconds = {record.id: record.metrics["milliseconds"] for record in warm}
        self.busy_share = sum(end - max(start, begin) for end, start in measured) / (num_slots * seconds)
        return len(measured) / seconds


def two_loops(num_trials: int) -> float:
    """Scores a second of two processes at once, neither of which knows of the other."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--loop", folder, str(num_trials // 2)]
        loops = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        said = [loop.communicate()[0] for loop in loops]
    return sum(float(text.strip().splitlines()[-1]) for text in said)


def compare(scores: Scores, repeats: int, num_cpus: float) -> dict[str, float]:
    """Rates, the best of several rounds in each of which every side has its turn, and their ratios."""
    sides: dict[str, Callable[[], float]] = {
        "local": lambda: scores.rate("local", 1, num_cpus),
        "pool_1_slot": lambda: scores.rate("pool", 1, num_cpus),
        "pool_2_slots": lambda: scores.rate("pool", 2, num_cpus),
    }
    rates: dict[str, list[float]] = {name: [] for name in [*sides, "two_loops"]}
    busy: dict[str, list[float]] = {name: [] for name in sides}
    shortest: dict[str, dict[int, float]] = {name: {} for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            rates[name].append(side())
            busy[name].append(scores.busy_share)
            for number, milliseconds in scores.milliseconds.items():
                shortest[name][number] = min(milliseconds, shortest[name].get(number, milliseconds))
        rates["two_loops"].append(two_loops(scores.num_trials))
    best = {name: max(found) for name, found in rates.items()}
    figures = {f"{name}_per_s": rate for name, rate in best.items()}
    figures |= {f"{name}_ms": statistics.fmean(shortest[name].values()) for name in sides}
    for name, slots in (("pool_1_slot", 1), ("pool_2_slots", 2)):
        figures[f"{name}_rate_ratio"] = best[name] / (slots * best["local"])
        figures[f"{name}_cost_ratio"] = figures["local_ms"] / figures[f"{name}_ms"]
        figures[f"{name}_busy_ratio"] = statistics.median(busy[name])
    return figures | {"two_loops_rate_ratio": best["two_loops"] / (2 * best["local"])}


def main() -> None:
    if sys.argv[1:2] == ["--loop"]:
        sys.stdout.write(f"{Scores(int(sys.argv[3])).rate('local', 2, 1, Path(sys.argv[2]))}\n")
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of the comparison")
    options = parser.parse_args()
    repeats, num_trivial, num_scores = (1, 3_000, 40) if options.quick else (options.repeats, 20_000, 200)
    connect()
    num_cpus: float = ray.cluster_resources()["CPU"]  # type: ignore[no-untyped-call]
    whole, warm = max((trivial_rates(num_trivial) for _ in range(min(repeats, 3))), key=lambda rates: rates[1])
    figures = {"trivial_per_s": warm, "trivial_with_start_per_s": whole}
    scores = Scores(num_scores)
    figures |= compare(scores, repeats, num_cpus)
    figures["tune_2_slots_per_s"] = scores.rate("tune", 2, num_cpus)
    disconnect()
    rounded = {name: round(value, 3 if "ratio" in name else 1) for name, value in figures.items()}
    sys.stdout.write(json.dumps({"num_trivial": num_trivial, "num_scores": num_scores, "repeats": repeats} | rounded) + "\n")


if __name__ == "__main__":
    main()
