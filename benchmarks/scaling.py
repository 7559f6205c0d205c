"""How trials a minute grow with hosts and with slots, by a trial that sleeps, so that the cores of this machine are no limit.

hosts: 1, 2 and 3 hosts of one CPU each (cluster/local/hosts.sh; needs root and network namespaces), one slot each.
slots: one Ray on this machine, slots that take no CPU, up to 200: where the driver becomes the limit.

Rates are those once every slot is there. --picture writes them as a PNG. The last line is all figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import raynas

ROOT = Path(__file__).resolve().parents[1]
HOSTS = ROOT / "cluster" / "local" / "hosts.sh"
SPACE = raynas.SearchSpace({f"k{number}": {"_type": "choice", "_value": list(range(10))} for number in range(10)})
SLOTS = (10, 50, 100, 200)


class Sleep:
    """A trial that takes its time and nothing else; the first one of each slot waits until all slots are there."""

    def __init__(self, seconds: float, folder: Path, num_slots: int) -> None:
        self.seconds, self.folder, self.num_slots = seconds, folder, num_slots

    def setup(self) -> None:
        (self.folder / uuid.uuid4().hex).touch()

    def evaluate(self, trial: raynas.Trial) -> None:
        while self.num_slots and len(os.listdir(self.folder)) < self.num_slots:  # noqa: PTH208
            time.sleep(0.5)
        self.num_slots = 0
        time.sleep(self.seconds)
        trial.report(accuracy=trial.id)


def rate(num_slots: int, seconds: float, rounds: int, num_cpus: float) -> float:
    """Trials a minute, once all slots are there."""
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / "there"
        there.mkdir()
        result = raynas.search(
            SPACE,
            Sleep(seconds, there, num_slots),
            num_trials=num_slots * (rounds + 2),
            engine="pool",
            max_concurrent=num_slots,
            resources_per_trial={"cpu": num_cpus},
            storage_path=folder,
            progress=False,
        )
        all_there = max(path.stat().st_mtime for path in there.iterdir())
    records = result.records.values()
    warm = all_there + 1 + seconds  # those that waited have ended their first one
    last = max(record.start for record in records if record.start is not None)
    ended = sum(record.end is not None and warm < record.end <= last for record in records)
    return 60 * ended / (last - warm)


def of_hosts(number: int, seconds: float, rounds: int) -> float:
    """``rate`` on so many hosts."""
    with tempfile.TemporaryDirectory(prefix="rn-", dir="/tmp") as folder:
        env = {**os.environ, "RAYNAS_HOSTS": f"{folder}/h", "PYTHON": sys.executable}
        env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
        log = Path(folder) / "log"

        def hosts(*words: str) -> str:
            with log.open("w+") as said:
                subprocess.run([HOSTS, *words], env=env, stdout=said, stderr=subprocess.STDOUT, check=True, cwd=ROOT)
            return log.read_text()

        hosts("up", "--hosts", str(number))
        try:
            said = hosts("run", "0", sys.executable, __file__, "--worker", str(number), str(seconds), str(rounds))
        finally:
            hosts("down")
    return float(said.strip().splitlines()[-1])


def draw(figures: dict[str, Any], path: Path) -> None:
    """Both curves beside what would be ideal."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for panel, name in zip(axes, ("hosts", "slots"), strict=True):
        found = {int(number): value for number, value in figures[name].items()}
        if not found:
            continue
        first = min(found)
        panel.plot(list(found), [number * found[first] / first for number in found], "--", color="0.6", label="ideal")
        panel.plot(list(found), list(found.values()), "o-", color="#2a6fbb", label="measured")
        panel.set(xlabel=name, ylabel="trials a minute", xlim=(0, None), ylim=(0, None))
        panel.legend(frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        asked = sys.argv[2:]
        raynas.connect("auto")
        sys.stdout.write(f"{rate(int(asked[0]), float(asked[1]), int(asked[2]), 1)}\n")
        raynas.disconnect()
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute: fewer of each")
    parser.add_argument("--only", choices=["hosts", "slots"])
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    seconds, rounds = 1.0, 5 if options.quick else 20
    figures: dict[str, Any] = {"seconds_a_trial": seconds, "hosts": {}, "slots": {}}
    if options.only != "slots":
        for number in (1, 2) if options.quick else (1, 2, 3):
            figures["hosts"][number] = round(of_hosts(number, seconds, rounds), 1)
    if options.only != "hosts":
        raynas.connect("local")
        for number in SLOTS[:1] if options.quick else SLOTS:
            figures["slots"][number] = round(rate(number, seconds, rounds, 0), 1)
        raynas.disconnect()
    for name in ("hosts", "slots"):
        for number, found in figures[name].items():
            ideal = number * 60 / seconds
            sys.stdout.write(f"{number:>4} {name}: {found:8.1f} trials a minute, {found / ideal:.0%} of {ideal:.0f}\n")
    if options.picture is not None:
        draw(figures, options.picture)
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
