"""Many searches on a table, in several processes, each kept on disk as soon as it is done."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from importlib.metadata import entry_points
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import benchmarks.tabular.table as table_module
import raynas
from benchmarks.tabular.table import Contender, Run, Table, run_search
from raynas.errors import OptionError


class KeptRuns:
    """The runs of one contender on one table, in a file: whose they are in its first line, then a line for each run.

    A line that was not written to its end counts for nothing. A later line with the same seed replaces an earlier one.

    Args:
        folder: of all results.
        table: what is searched; a table with other values has other files.
        contender: who searches; with other code, options or settings, or counted in another way, it has another file.
        fresh: forget what is there.

    Attributes:
        path: the file.
        runs: by seed.

    Raises:
        OptionError: the file is another's.
    """

    def __init__(self, folder: Path, table: Table, contender: Contender, *, fresh: bool = False) -> None:
        self._header = {
            "table": table.name,
            "table_sha256": table.fingerprint,
            **asdict(contender),
            "code_sha256": code_fingerprint(contender.searcher),
            "counting_sha256": hashlib.sha256(_without_docstrings(inspect.getsource(table_module)).encode()).hexdigest(),
            "raynas": raynas.__version__,
        }
        name = re.sub(r"[^\w=.-]+", "_", contender.label).strip("_")[:80]
        number = hashlib.sha256(json.dumps(self._header, sort_keys=True).encode()).hexdigest()[:8]
        self.path = folder / f"{table.name}-{table.fingerprint[:8]}" / f"{name}-{number}.jsonl"
        self.runs: dict[int, Run] = {}
        if fresh:
            self.path.unlink(missing_ok=True)
        if self.path.is_file():
            self._read()

    def has(self, seed: int, evaluations: int) -> bool:
        """Whether there is a run of that seed with so many evaluations, or more: its beginning is the same run."""
        return seed in self.runs and self.runs[seed].evaluations >= evaluations

    def add(self, run: Run) -> None:
        """Keep a run: on disk when this returns."""
        self.runs[run.seed] = run
        lines = [json.dumps(asdict(run), separators=(",", ":")), ""]
        if not self.path.is_file():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lines.insert(0, json.dumps(self._header))
        elif not self.path.read_bytes().endswith(b"\n"):
            lines.insert(0, "")  # ends the line that was cut off
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines))

    def _read(self) -> None:
        lines = self.path.read_bytes().split(b"\n")
        try:
            header = json.loads(lines[0])
        except ValueError:
            header = None
        if header != self._header:
            raise OptionError(f"{self.path} begins with {header}; expected {self._header}; --fresh writes it anew")
        for line in lines[1:]:
            with suppress(ValueError, TypeError, KeyError):
                run = Run(**json.loads(line))
                improvements = [(number, searched, reported) for number, searched, reported in run.improvements]
                self.runs[run.seed] = replace(run, improvements=improvements)


def code_fingerprint(searcher: str) -> str:
    """64 hexadecimal digits that change with what a searcher does, not with what its docstrings and comments say.

    They are of its module and of those that it uses in the same package.

    Raises:
        ImportError: it cannot be loaded.
        OptionError: no searcher has that name.
    """
    found = {point.name: point for point in entry_points(group="raynas.searchers")}
    if searcher not in found:
        raise OptionError(f"no searcher is called {searcher!r}; installed are {', '.join(sorted(found))}")
    start = sys.modules[found[searcher].load().__module__]
    package = start.__name__.partition(".")[0]
    code: dict[str, str] = {}
    left = [start]
    while left:
        module = left.pop()
        if module.__name__ not in code and module.__name__.partition(".")[0] == package and hasattr(module, "__file__"):
            code[module.__name__] = _without_docstrings(inspect.getsource(module))
            left += _modules_in(module)
    return hashlib.sha256(json.dumps(code, sort_keys=True).encode()).hexdigest()


def _modules_in(module: ModuleType) -> Iterator[ModuleType]:
    """Modules that a module imported, and those from which it imported something."""
    for value in vars(module).values():
        if isinstance(value, ModuleType):
            yield value
        else:
            name = getattr(value, "__module__", None)
            if isinstance(name, str) and name in sys.modules:
                yield sys.modules[name]


def _without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


class Task(NamedTuple):
    """One search to be run."""

    contender: Contender
    seed: int
    evaluations: int


Keep = Callable[[Task, Run | str], None]


def run_all(table: Table, tasks: Sequence[Task], *, jobs: int, keep: Keep) -> None:
    """Run searches in so many processes (1: in this one), in their order.

    ``keep`` is called in this process after each of them, with its run or with what went wrong. When this is left early, by
    Ctrl-C for example, the processes end at once.

    Raises:
        BrokenProcessPool: a process died.
    """
    if jobs == 1 or len(tasks) < 2:
        for task in tasks:
            keep(task, _attempt(table, task))
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes are as many as the cores
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(min(jobs, len(tasks)), context, initializer=_prepare, initargs=(table,))
    try:
        with _deaf():
            futures = {executor.submit(_run_in_worker, task): task for task in tasks}
        for future in as_completed(futures):
            keep(futures[future], future.result())
    except BaseException:
        for child in multiprocessing.active_children():
            child.kill()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Signals that ask for an end wait until this is over; processes started meanwhile never hear them, this one ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_table: Table


def _prepare(table: Table) -> None:
    global _table
    _table = table
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _run_in_worker(task: Task) -> Run | str:
    return _attempt(_table, task)


def _attempt(table: Table, task: Task) -> Run | str:
    try:
        return run_search(table, task.contender, task.seed, task.evaluations)
    except Exception as error:  # a searcher that breaks is left out, the others go on
        return f"{type(error).__name__}: {error}"
