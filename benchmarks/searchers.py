"""How good the searchers are: each of them on a table that says what every architecture of a space scores.

By default that is NAS-Bench-Macro, which is found in --data: test_acc_0 is searched, the mean of the other two runs is
reported. For a table of your own give --table, --space, --architecture, --search and --report. The table holds every
architecture of the space, either as JSON (as in trials.parquet) or, where every key picks one candidate and none has a
condition, as one character a key: the index of its candidate, 0 to 9, then a to z. A row with an empty cell, NaN or infinity
in a column that counts is an evaluation that fails.

For each searcher and number of evaluations: mean ± standard error of what is reported of the best architecture so far (best
in the column searched), the median, and the share of the seeds that found the optimum of that column. Every trial is an
evaluation. A table knows no budgets: to successive_halving a known architecture with a larger budget is one more evaluation
that tells nothing new, so its row says what that costs, not what it saves. Every run is kept in --out at once: the same
command goes on where it was stopped, and what was run with another table, searcher, option, or other code of the searcher is
never taken for it. (Changes elsewhere in raynas are not noticed: --fresh runs all again.) The last line is all figures as JSON.

    python benchmarks/searchers.py --check
    python benchmarks/searchers.py --searchers regularized_evolution --option population_size=10 --option sample_size=5 --repeat
    python benchmarks/searchers.py --table t.parquet --space space.json --architecture arch --search valid --report test1,test2
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pyarrow as pa

if __name__ == "__main__":
    sys.path[0] = str(
        Path(__file__).resolve().parents[1]
    )  # beside this file lies profile.py, which has the name of a module of the standard library

from benchmarks.tabular import standings as st
from benchmarks.tabular.runs import KeptRuns, Task, run_all
from benchmarks.tabular.table import NAS_BENCH_MACRO, Columns, Contender, Run, Table
from raynas.errors import OptionError, RaynasError, SearcherError
from raynas.explore import make_searcher
from raynas.space import SearchSpace

ROOT = Path(__file__).resolve().parents[1]
SLOW = ("bananas", "gaussian_process", "ppo", "reinforce", "tpe")  # predictors and policies
NUM_SEEDS, NUM_SLOW_SEEDS = 200, 50
QUICK_SEEDS, QUICK_SLOW_SEEDS, QUICK_NUMBERS = 10, 2, (20, 50)
SAY_EVERY = 20.0  # seconds
OF_A_TABLE = ("space", "architecture", "search", "report")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="of NAS-Bench-Macro; RAYNAS_DATA, or else ../shared/data")
    table = parser.add_argument_group("a table of your own")
    table.add_argument("--table", type=Path, metavar="FILE", help="Parquet")
    table.add_argument("--space", type=Path, metavar="FILE", help="the search space, as JSON")
    table.add_argument("--architecture", metavar="COLUMN", help="holds the architectures")
    table.add_argument("--search", metavar="COLUMN", help="what searchers are told")
    table.add_argument("--report", metavar="COLUMN[,COLUMN...]", help="the mean of these is reported")
    table.add_argument("--mode", choices=("max", "min"), default="max", help="which values are better (max)")
    run = parser.add_argument_group("what is run")
    run.add_argument("--searchers", metavar="NAME[,NAME...]", help="all that come with raynas by default")
    run.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of the one searcher named; repeatable"
    )
    run.add_argument("--seeds", type=_positive, help=f"{NUM_SEEDS}; {NUM_SLOW_SEEDS} for {', '.join(SLOW)}")
    run.add_argument("--evaluations", metavar="N[,N...]", type=_numbers, help="50,100,200,500")
    run.add_argument("--at-once", type=_positive, default=1, metavar="N", help="how many evaluations run at the same time (1)")
    run.add_argument("--repeat", action="store_true", help="the same architecture may be evaluated again")
    run.add_argument(
        "--check", action="store_true", help="hold the searchers to their targets as well; status 1: one is missed"
    )
    run.add_argument("--quick", action="store_true", help=f"under a minute: {QUICK_SEEDS} seeds, 50 evaluations")
    run.add_argument("--jobs", type=_positive, default=_num_cores(), help="processes; as many as cores by default")
    run.add_argument("--out", type=Path, default=Path("runs/bench-searchers"), metavar="FOLDER", help="runs/bench-searchers")
    run.add_argument("--fresh", action="store_true", help="forget what is kept of the runs asked for")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a whole number of at least 1")
    return int(text)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted({_positive(number) for number in text.split(",")}))


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_table(options: argparse.Namespace) -> Table:
    """The table that the options name."""
    if options.table is None:
        given = [f"--{name}" for name in OF_A_TABLE if getattr(options, name) is not None]
        if given or options.mode != "max":
            raise OptionError(f"{', '.join(given) or '--mode'} belongs to a table of your own; give --table too")
        folder = options.data or Path(os.environ.get("RAYNAS_DATA") or ROOT.parent / "shared" / "data")
        path = folder / "nas_bench_macro.parquet"
        if not path.is_file():
            raise OptionError(f"{path} is absent; say where it is with --data or RAYNAS_DATA, or give a table with --table")
        return Table.read(path, NAS_BENCH_MACRO, Columns("arch", "test_acc_0", ("test_acc_1", "test_acc_2")))
    missing = [f"--{name}" for name in OF_A_TABLE if getattr(options, name) is None]
    if missing:
        raise OptionError(f"--table needs {', '.join(missing)} too")
    columns = Columns(options.architecture, options.search, tuple(options.report.split(",")), options.mode)
    return Table.read(options.table, SearchSpace.load(options.space), columns)


def name_contenders(options: argparse.Namespace) -> list[Contender]:
    """Who is run by the options: the searchers themselves, and for --check what they are compared with."""
    ours = [point.name for point in entry_points(group="raynas.searchers") if point.value.startswith("raynas_searchers.")]
    names = options.searchers.split(",") if options.searchers else sorted(ours)
    if options.option and len(names) != 1:
        raise OptionError("--option is of one searcher; name it with --searchers")
    named = dict(_option(text) for text in options.option)
    contenders = [Contender(name, named, options.at_once, options.repeat) for name in dict.fromkeys(names)]
    if options.check:
        if named or options.repeat or options.at_once > 1 or options.quick or options.seeds == 1:
            raise OptionError(
                "--check runs searchers as they are, with several seeds: without --option, --repeat, --at-once, --quick"
            )
        if "random" not in names:
            contenders.insert(0, Contender("random"))
        if options.table is None:
            contenders += [st.REFERENCE, *(replace(contender, at_once=st.AT_ONCE) for contender in contenders)]
    return contenders


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name or name == "seed":
        raise OptionError(f"found --option {text}; expected NAME=VALUE, and another name than seed (--seeds says how many)")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def plan(options: argparse.Namespace, contender: Contender, numbers: Sequence[int]) -> list[Task]:
    """The searches of one contender."""
    is_slow = contender.searcher in SLOW
    by_default = (QUICK_SLOW_SEEDS if is_slow else QUICK_SEEDS) if options.quick else NUM_SLOW_SEEDS if is_slow else NUM_SEEDS
    is_compared = options.check and contender.at_once > 1
    evaluations = st.AT_ONCE_NUMBER if is_compared else numbers[-1]
    return [Task(contender, seed, evaluations) for seed in range(options.seeds or by_default)]


class Benchmark:
    """Runs what is missing, keeps it, and says how far it is.

    Attributes:
        tasks: all searches, by the contender's label.
        skipped: why a contender cannot be imported, by its label.
        failed: what went wrong with a contender, by its label; it is left out.

    Raises:
        OptionError: a searcher does not exist, or refuses its options.
    """

    def __init__(self, table: Table, tasks: dict[str, list[Task]], options: argparse.Namespace) -> None:
        self.tasks: dict[str, list[Task]] = {}
        self.skipped: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self._table, self._jobs = table, options.jobs
        self._kept: dict[str, KeptRuns] = {}
        self._num_left: dict[str, int] = {}
        self._said = time.monotonic()
        for label, of_one in tasks.items():
            contender = of_one[0].contender
            try:
                make_searcher(contender.searcher, {**contender.options, "seed": 0})
                self._kept[label] = KeptRuns(options.out, table, contender, fresh=options.fresh)
                self.tasks[label] = of_one
            except (SearcherError, ImportError) as error:
                self.skipped[label] = str(error)
                say(f"{label} is skipped: {error}")
            except RaynasError:
                raise
            except Exception as error:
                self._fail(label, f"{type(error).__name__}: {error}")

    def run(self) -> None:
        """Run what is not there yet."""
        missing = [
            task
            for label, tasks in self.tasks.items()
            for task in tasks
            if not self._kept[label].has(task.seed, task.evaluations)
        ]
        num_all = sum(map(len, self.tasks.values()))
        say(f"{len(missing):,} of {num_all:,} searches are to be run, {num_all - len(missing):,} are kept already")
        self._num_left = {label: sum(task.contender.label == label for task in missing) for label in self.tasks}
        run_all(self._table, missing, jobs=self._jobs, keep=self._keep)

    def standings(self) -> dict[str, st.Standing]:
        """The runs asked for, by label."""
        return {
            label: st.Standing(tasks[0].contender, [self._kept[label].runs[task.seed] for task in tasks])
            for label, tasks in self.tasks.items()
            if label not in self.failed
        }

    def _keep(self, task: Task, run: Run | str) -> None:
        label = task.contender.label
        if isinstance(run, str):
            self._fail(label, f"seed {task.seed}: {run}")
            return
        self._kept[label].add(run)
        self._num_left[label] -= 1
        if label not in self.failed and (not self._num_left[label] or time.monotonic() > self._said + SAY_EVERY):
            self._said = time.monotonic()
            num_all = len(self.tasks[label])
            say(f"{label}: {num_all - self._num_left[label]} of {num_all} searches, {run.seconds:.2f} s the last")

    def _fail(self, label: str, cause: str) -> None:
        if label not in self.failed:
            self.failed[label] = cause
            say(f"{label} is left out, {cause}")


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"{text}\n")


def describe(table: Table) -> str:
    """What is searched and what is reported."""
    searched, reported = (f"{value:.{table.decimals}f}".rstrip("0").rstrip(".") for value in table.optimum)
    better = "" if table.columns.mode == "max" else ", smaller is better"
    columns = f"{table.columns.search} is searched, the mean of {' and '.join(table.columns.report)} is reported{better}"
    optimum = f"The optimum searched is {searched}; {reported} is reported of it."
    return f"{table.name}: {table.space.size:,} architectures; {columns}.\n{optimum}\n"


def run_benchmark(options: argparse.Namespace) -> int:
    """All of it. Returns the exit status."""
    start = time.perf_counter()
    numbers = options.evaluations or (QUICK_NUMBERS if options.quick else st.NUMBERS)
    if options.check:
        numbers = tuple(sorted({*numbers, *st.NUMBERS}))
    contenders = name_contenders(options)
    table = read_table(options)
    benchmark = Benchmark(table, {one.label: plan(options, one, numbers) for one in contenders}, options)
    benchmark.run()
    found = benchmark.standings()
    main = {label: one for label, one in found.items() if not (options.check and one.contender.at_once > 1)}
    sys.stdout.write(f"{describe(table)}\n{st.markdown(table, main.values(), numbers)}")
    several = [one for label, one in found.items() if label not in main]
    if several:
        sys.stdout.write("\n" + st.markdown(table, several, [number for number in numbers if number <= st.AT_ONCE_NUMBER]))
    summary: dict[str, Any] = {"table": table.name, "evaluations": numbers, "optimum": table.optimum}
    summary["searchers"] = st.figures(table, main.values(), numbers)
    if benchmark.skipped or benchmark.failed:
        summary |= {"skipped": benchmark.skipped, "failed": benchmark.failed}
    checks = []
    if options.check:
        checks = st.check_random(table, main, numbers) + (st.check_targets(table, found) if options.table is None else [])
        sys.stdout.write("\n" + "".join(f"{check}\n" for check in checks))
        summary["checks"] = {check.name: check.passed for check in checks}
    if main:
        picture = options.out / f"{table.name}-{table.fingerprint[:8]}.png"
        st.draw(table, main.values(), numbers[-1], picture)
        summary["picture"] = str(picture)
    summary["seconds"] = round(time.perf_counter() - start, 1)
    sys.stdout.write(("\n" + f"picture: {summary['picture']}\n" if main else "") + json.dumps(summary) + "\n")
    return int(bool(benchmark.failed) or not all(check.passed for check in checks))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0, 1 where a searcher broke or a target is missed, 2 for bad input."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    try:
        return run_benchmark(options)
    except (RaynasError, OSError, pa.ArrowInvalid) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except BrokenProcessPool:
        say("a process died, perhaps for lack of memory; the same command goes on, --jobs 1 needs the least")
        return 1
    except KeyboardInterrupt:
        say("stopped; what is done is kept, the same command goes on")
        return 130


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
