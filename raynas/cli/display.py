"""What a run shows in a terminal: a line for each stage, a live bar, a table at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text


class TerminalDisplay:
    """Lines and bars on the terminal; bars only where the output is one.

    Args:
        console: where to write; standard output if ``None``.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        if console is None and not self.console.is_terminal:
            self.console = Console(width=100)  # in a pipe or a log file there is no width to ask for
        self._progress = Progress(
            TextColumn("  "),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._bar: TaskID | None = None
        self._started = 0.0

    def __enter__(self) -> TerminalDisplay:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def stage(self, name: str, text: str) -> None:
        """A line for a stage that begins."""
        self._end_bar()
        self.console.print(Text.assemble((f"{name:<9}", "bold"), text))
        self._started = time.monotonic()

    def steps(self, done: int, total: int, figures: dict[str, float]) -> None:
        """Training goes on: steps, rate, loss."""
        self._show(done, total, "steps/s", f"loss {figures['loss']:.3f}" if "loss" in figures else "")

    def trials(self, session: Any) -> None:
        """A search goes on: trials, rate, what runs, what failed, the best so far."""
        ended = session.num_spent - session.num_running
        self._show(ended, session.limits.num_trials, "trials/s", session.state.summary())

    def result(self, figures: dict[str, Any], folder: str) -> None:
        """The table at the end, and what to type next."""
        self._end_bar()
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in result_rows(figures):
            table.add_row(Text(name), Text(value))
        table.add_row(Text("run folder"), Text(folder))
        self.console.print()
        self.console.print(table)

    def space(self, space: Mapping[str, Any], shapes: Mapping[str, str]) -> None:
        """A table of a search space; ``shapes`` by key."""
        table = Table(box=None, padding=(0, 2, 0, 0))
        columns = ("key", "kind", "candidates", *(["output"] if shapes else []))
        for column in columns:
            table.add_column(column, overflow="fold")
        for key, domain in space.items():
            row = (key, kind_of(space, key), ", ".join(map(str, domain.candidates)), shapes.get(key, ""))
            table.add_row(*map(Text, row[: len(columns)]))
        self.console.print(table)
        self.console.print(f"{space.size:,} architectures", highlight=False)  # type: ignore[attr-defined]

    def _show(self, done: int, total: int, unit: str, figures: str) -> None:
        if self._bar is None:
            self._bar = self._progress.add_task("", total=total, rate="", figures="")
        rate = done / max(time.monotonic() - self._started, 1e-9)
        self._progress.update(self._bar, completed=done, total=total, rate=f"{rate:.1f} {unit}", figures=figures)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._progress.remove_task(self._bar)
            self._bar = None


def to_stderr() -> Console:
    """For what is shown while standard output is read by a program."""
    return Console(stderr=True)


def kind_of(space: Mapping[str, Any], key: str) -> str:
    """In words: what is chosen, how many of them, and when."""
    domain = space[key]
    many = "" if domain.kind != "input_choice" else f" ({'any' if domain.n_chosen is None else domain.n_chosen} of)"
    conditions = []
    for parent, indices in domain.when.items():
        names = (str(space[parent].candidates[index]) for index in indices)
        conditions.append(f"{parent} is {' or '.join(names)}")
    when = " and ".join(conditions)
    return f"{domain.kind}{many}{f', if {when}' if when else ''}"


def result_rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The rows of the table: name and text, for what is in ``result.json``."""
    metric = figures.get("metric", "metric")
    rows = [("architectures in the space", f"{figures['space_size']:,}")] if "space_size" in figures else []
    if "num_trials" in figures:
        ends = ", ".join(
            f"{figures[f'num_{state}']} {state}" for state in ("failed", "stopped", "reused") if figures.get(f"num_{state}")
        )
        rows.append(("architectures tried", f"{figures['num_trials']:,}{f' ({ends})' if ends else ''}"))
    if "best_architecture" in figures:
        chosen = (f"{key}={_named(choice['_value'])}" for key, choice in figures["best_architecture"].items())
        rows.append(("best architecture", "  ".join(chosen)))
    if f"inherited_{metric}" in figures:
        rows.append((f"{metric} with inherited weights", f"{figures[f'inherited_{metric}']:.4f}"))
    for split in ("test", "valid"):
        if f"{split}_{metric}" in figures:
            rows.append((f"{split} {metric}, retrained", f"{figures[f'{split}_{metric}']:.4f}"))
            values = figures.get(f"random_{split}_{metric}") or []
            if values:
                mean = figures[f"random_{split}_{metric}_mean"]
                rows.append((f"mean of {len(values)} random ones", f"{mean:.4f}  ({min(values):.4f} to {max(values):.4f})"))
    limits = {"params": figures.get("max_params"), "flops": figures.get("max_flops")}
    for name, label in (("params", "parameters"), ("flops", "FLOPs")):
        if name in figures:
            limit = f"  (limit {limits[name]:,.0f})" if limits[name] else ""
            rows.append((label, f"{figures[name]:,}{limit}"))
    rows.append(("seconds", "  ".join(f"{stage} {seconds:.0f}" for stage, seconds in figures.get("seconds", {}).items())))
    return rows


def _named(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
