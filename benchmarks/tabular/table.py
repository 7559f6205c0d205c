"""Searches on a table: what every architecture of a space scores is looked up. Which searchers run is in ``searchers``."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raynas.errors import ArchitectureError, OptionError
from raynas.explore import EngineOptions, Objective, SearchLimits, SearchSession, Trial, make_searcher, run_local
from raynas.space import Architecture, SearchSpace

METRIC = "searched"
MAX_DIGITS = 36  # 0 to 9, a to z
NAS_BENCH_MACRO = SearchSpace(
    {
        f"layer{number}": {"_type": "layer_choice", "_value": ["identity", "expand3_kernel3", "expand6_kernel5"]}
        for number in range(1, 9)
    }
)
Cell = tuple[float, float]


@dataclass(frozen=True)
class Columns:
    """Which columns of a table say what.

    Attributes:
        architecture: holds architectures, see ``read_architecture``.
        search: what searchers are told.
        report: the mean of these is what is reported of the best architecture that was found.
        mode: ``"max"`` or ``"min"``: which values of all of them are better.
    """

    architecture: str
    search: str
    report: tuple[str, ...]
    mode: str = "max"


@dataclass(frozen=True)
class Table:
    """What every architecture of a space scores.

    Attributes:
        name: of the table, for people and for the folder of its results.
        space: what is searched.
        columns: where the values are from.
        cells: the digest of an architecture to its searched and its reported value; ``None`` where one is missing.
    """

    name: str
    space: SearchSpace
    columns: Columns
    cells: Mapping[str, Cell | None]

    @classmethod
    def read(cls, path: Path, space: SearchSpace, columns: Columns) -> Table:
        """Read a Parquet file that holds every architecture of the space.

        An empty cell, NaN or infinity in a column that counts makes the evaluation of that row fail.

        Raises:
            OptionError: a column is missing or does not hold numbers, an architecture of the space is missing, or stands
                there twice with different values.
            ArchitectureError: a row holds no architecture of the space.
        """
        names = dict.fromkeys((columns.architecture, columns.search, *columns.report))
        there = pq.read_schema(path).names
        for name in names:
            if name not in there:
                raise OptionError(f"{path} has no column {name!r}; it has {', '.join(there)}")
        data = pq.read_table(path, columns=list(names))
        searched, *reported = (_numbers(data, name) for name in (columns.search, *columns.report))
        cells: dict[str, Cell | None] = {}
        for row, text in enumerate(data.column(columns.architecture).to_pylist()):
            try:
                digest = read_architecture(space, text).digest
            except ArchitectureError as error:
                raise ArchitectureError(f"{path}, row {row}, column {columns.architecture!r}: {error}") from error
            cell = _cell([searched[row], *(column[row] for column in reported)])
            if cells.setdefault(digest, cell) != cell:
                raise OptionError(f"{path}, row {row}: {text} stands in an earlier row with other values")
        _check_complete(space, cells, path)
        return cls(path.stem, space, columns, cells)

    @cached_property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that change with the space, the direction and every value."""
        content = [self.space.to_dict(), self.columns.mode, sorted(self.cells.items())]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @cached_property
    def optimum(self) -> Cell:
        """The best value searched, and what is reported there: the best of it where several architectures share the optimum."""
        sign = 1 if self.columns.mode == "max" else -1
        return max((cell for cell in self.cells.values() if cell), key=lambda cell: (sign * cell[0], sign * cell[1]))

    @cached_property
    def worst(self) -> float:
        """The worst value reported: what a search has that did not find anything yet."""
        reported = [cell[1] for cell in self.cells.values() if cell]
        return min(reported) if self.columns.mode == "max" else max(reported)

    @property
    def decimals(self) -> int:
        """How many make sense: three where values differ by tens, five where they differ by tenths."""
        reported = [cell[1] for cell in self.cells.values() if cell]
        spread = max(reported) - min(reported)
        return min(max(4 - math.floor(math.log10(spread)), 0), 9) if spread else 3


def read_architecture(space: SearchSpace, text: Any) -> Architecture:
    """Read an architecture as tables hold it: as JSON, or as one character a key.

    JSON is what ``trials.parquet`` holds, ``{"key": {"_value": ..., "_idx": ...}, ...}``. The short form has for each key, in
    the order of the space, the index of its candidate: ``0`` to ``9``, then ``a`` to ``z``. It fits spaces without conditions
    in which every key picks one candidate.

    Raises:
        ArchitectureError: it is neither, or does not fit the space.
    """
    if not isinstance(text, str):
        raise ArchitectureError(f"found {text!r}; expected JSON, or one character a key")
    if text.lstrip().startswith("{"):
        return Architecture.from_json(space, text)
    for key, domain in space.items():
        if domain.when or domain.num_options != len(domain.candidates) or domain.num_options > MAX_DIGITS:
            found = f"found {text!r}; one character a key needs keys without conditions that pick one of at most {MAX_DIGITS}"
            raise ArchitectureError(f"{found} candidates, which {key!r} does not; expected JSON")
    if len(text) != len(space) or not (text.isascii() and text.isalnum()):
        raise ArchitectureError(f"found {text!r}; expected JSON, or {len(space)} characters from 0 to 9 and a to z")
    return Architecture.from_indices(space, {key: [int(digit, MAX_DIGITS)] for key, digit in zip(space, text, strict=True)})


def _numbers(data: pa.Table, name: str) -> list[float | None]:
    column = data.column(name)
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise OptionError(f"column {name!r} holds {column.type}; expected numbers")
    numbers: list[float | None] = column.cast(pa.float64()).to_pylist()
    return numbers


def _cell(values: list[float | None]) -> Cell | None:
    """The searched value, and the mean of those reported."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return (known[0], sum(known[1:]) / (len(known) - 1)) if len(known) == len(values) else None


def _check_complete(space: SearchSpace, cells: Mapping[str, Cell | None], path: Path) -> None:
    if space.size != len(cells):  # every row is of the space and counted once: so there are fewer
        looked_at = islice(space.enumerate(), len(cells) + 1)
        missing = next(architecture for architecture in looked_at if architecture.digest not in cells)
        choices = ", ".join(f"{key}={choice.value}" for key, choice in missing.items())
        raise OptionError(f"{path} holds {len(cells):,} of {space.size:,} architectures; missing is for example {choices}")
    if not any(cells.values()):
        raise OptionError(f"{path} has no row with a number in every column that counts")


@dataclass(frozen=True)
class Contender:
    """A searcher as it is run.

    Attributes:
        searcher: a name of ``raynas.searchers()``.
        options: of the searcher; the seed is none of them.
        at_once: how many evaluations run at the same time.
        repeat: whether the same architecture may be evaluated again.
    """

    searcher: str
    options: Mapping[str, Any] = field(default_factory=dict)
    at_once: int = 1
    repeat: bool = False

    @property
    def label(self) -> str:
        """As people read it."""
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        at_once = f", {self.at_once} at once" if self.at_once > 1 else ""
        return f"{self.searcher}{f'({options})' if options else ''}{', repeat' if self.repeat else ''}{at_once}"


@dataclass(frozen=True)
class Run:
    """One search.

    Attributes:
        seed: of the searcher.
        evaluations: how many it was given.
        carried_out: how many it made use of; fewer where it had nothing more to propose.
        failed: how many of them gave no result.
        improvements: each number of evaluations after which the best was a new one, with its searched and reported values.
        seconds: how long it took.
    """

    seed: int
    evaluations: int
    carried_out: int
    failed: int
    improvements: list[tuple[int, float, float]]
    seconds: float

    def best_after(self, evaluations: int) -> Cell | None:
        """The searched and the reported value of the best after so many evaluations; ``None``: all of them failed."""
        best = None
        for number, searched, reported in self.improvements:
            if number > evaluations:
                break
            best = searched, reported
        return best


class _Watch:
    """Evaluates by looking up, counts, and notes what gets better.

    Every trial is an evaluation, as it is to ``raynas.search``: also one of an architecture that is known with another
    budget, though a table has the same value for both.
    """

    def __init__(self, table: Table) -> None:
        self.num_evaluated = self.num_failed = 0
        self.improvements: list[tuple[int, float, float]] = []
        self._table = table
        self._sign = 1.0 if table.columns.mode == "max" else -1.0
        self._best = -math.inf

    def evaluate(self, trial: Trial) -> None:
        cell = self._table.cells[trial.architecture.digest]
        if cell is not None:
            trial.report(searched=cell[0])
        self.num_evaluated += 1
        self._note(cell)

    def _note(self, cell: Cell | None) -> None:
        if cell is None:
            self.num_failed += 1
        elif self._sign * cell[0] > self._best:
            self._best = self._sign * cell[0]
            self.improvements.append((self.num_evaluated, *cell))


def run_search(table: Table, contender: Contender, seed: int, evaluations: int) -> Run:
    """One search on a table, in this process. A searcher sees neither how many evaluations there will be nor the table.

    Raises:
        SearcherError: the searcher broke the tuner protocol.
        OptionError: the searcher has no such option, or refuses its value.
    """
    start = time.perf_counter()
    searcher = make_searcher(contender.searcher, {**contender.options, "seed": seed})
    limits = SearchLimits(evaluations, repeat=contender.repeat, max_same_failures=sys.maxsize)
    session = SearchSession(searcher, table.space, Objective(METRIC, table.columns.mode), limits=limits)
    watch = _Watch(table)
    run_local(session, watch.evaluate, EngineOptions(contender.at_once))
    if session.error is not None:
        raise session.error
    seconds = round(time.perf_counter() - start, 3)
    return Run(seed, evaluations, watch.num_evaluated, watch.num_failed, watch.improvements, seconds)
