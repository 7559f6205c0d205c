"""``run`` of a file: space, supernet, search, retraining, report, each stage meeting the next in the run folder only."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any, Protocol

from raynas.api.evaluators import WEIGHTS, from_scratch, inherited
from raynas.api.plan import Plan
from raynas.api.registry import WeightRegistry
from raynas.api.run_folder import RunFolder, read_json, write_json
from raynas.api.search import search
from raynas.api.search_result import SearchResult
from raynas.api.supernet import train_supernet
from raynas.api.task_file import load_task_file
from raynas.api.within import Within, within
from raynas.errors import NoMoreTrials, OptionError, RunNotFoundError
from raynas.explore import SavedFiles, Searcher, SearchSession
from raynas.nn import Profiler, generate_search_space
from raynas.report import write_report
from raynas.space import Architecture

STAGES = ("space", "supernet", "search", "retrain", "report")


class Display(Protocol):
    """What a run shows while it goes on."""

    def stage(self, name: str, text: str) -> None:
        """A stage begins."""
        ...

    def steps(self, done: int, total: int, figures: dict[str, float]) -> None:
        """Training goes on."""
        ...

    def trials(self, session: SearchSession) -> None:
        """A search goes on."""
        ...


class Run:
    """One run of a file, new or resumed; stages that are done are not done again.

    Args:
        folder: its run folder, which holds a copy of the file and the plan.
        display: what is told as it goes on.
        allow_local: whether the folder may be on this machine alone, although the cluster has others.

    Attributes:
        task, plan, space: what is run.
    """

    def __init__(self, folder: RunFolder, display: Display, *, allow_local: bool = False) -> None:
        self.folder, self.display, self._allow_local = folder, display, allow_local
        self.task, _ = load_task_file(task_file_of(folder))
        self.plan = Plan.from_dict(read_json(folder.plan)["plan"])
        self.space = generate_search_space(self.task.model())
        self._constraint: Within | None = None

    def run(self, until: str = "report") -> dict[str, Any]:
        """Do what is left to do, up to a stage; gives the figures of ``result.json``."""
        with self.folder.kept():
            return self._run(until)

    def _run(self, until: str) -> dict[str, Any]:
        done = self.folder.read_result().get("seconds", {})
        stages: dict[str, Callable[[], dict[str, Any]]] = {
            "space": self._space,
            "supernet": self._supernet,
            "search": self._search,
            "retrain": self._retrain,
        }
        left = [name for name in stages if name in STAGES[: STAGES.index(until) + 1] and name not in done]
        if any(self._needs_ray(name) for name in left):
            self._connect()  # before anything else: what is wrong with a cluster should not cost a supernet
        for name in left:
            start = time.time()
            figures = stages[name]()
            self.folder.add_result({**figures, "seconds": {name: round(time.time() - start, 2)}})
        if until == "report":
            start = time.time()
            self.display.stage("report", "report.html")
            write_report(self.folder.path)
            self.folder.add_result({"seconds": {"report": round(time.time() - start, 2)}})
        return self.folder.read_result()

    def _space(self) -> dict[str, Any]:
        self.space.save(self.folder.search_space)
        self.display.stage("space", f"{self.space.size:,} architectures of {len(self.space)} choices")
        metric, mode = self.task.objective
        names = ("raynas", "ray", "torch", "pyarrow")
        return {
            "name": self.folder.path.name,
            "seed": self.plan.seed,
            "metric": metric,
            "mode": mode,
            "space_size": self.space.size,
            "max_flops": self.plan.max_flops,
            "max_params": self.plan.max_params,
            "versions": {name: version(name) for name in names} | {"python": platform.python_version()},
        }

    def _supernet(self) -> dict[str, Any]:
        plan = self.plan
        where = f"under Ray Train, {_in_words(plan.num_workers)} workers" if plan.num_workers else "in this process"
        self.display.stage("supernet", f"{plan.method}, {plan.supernet_epochs} epochs {where}")
        trained = train_supernet(
            self.task,
            method=plan.method,
            num_workers=plan.num_workers,
            use_gpu=plan.use_gpu,
            wait=plan.wait,
            method_options=plan.method_options,
            options=plan.train_options(),
            storage_path=self.folder.path.parent,
            name=self.folder.path.name,
            registry=self.folder.registry,
            resume=True,
            on_progress=self.display.steps,
        )
        figures = {"steps": trained.num_steps, "bytes_sent": trained.bytes_sent, "version": trained.version}
        learnt = {"architecture": trained.architecture.to_dict()} if trained.architecture is not None else {}
        return {"supernet": {**figures, **learnt}}

    def _search(self) -> dict[str, Any]:
        plan, (metric, mode) = self.plan, self.task.objective
        self.display.stage("search", f"{plan.searcher}, {plan.num_trials} trials, engine {plan.engine}, inherited weights")
        registry = WeightRegistry(self.folder.registry, self.folder.weights)
        result = search(
            self.space,
            inherited(self.task, registry=registry),
            searcher=plan.searcher,
            searcher_options={"seed": plan.seed, **plan.searcher_options},
            metric=metric,
            mode=mode,
            num_trials=plan.num_trials,
            max_concurrent=plan.max_concurrent,
            resources_per_trial=plan.trial_resources,
            constraint=self._limits(),
            engine=plan.engine,
            storage_path=self.folder.path.parent,
            name=self.folder.path.name,
            resume=True,
            on_event=self.display.trials,
        )
        states = [record.state for record in result.records.values()]
        return {
            "num_trials": result.num_spent,
            "num_forbidden": result.num_forbidden,
            **{f"num_{state}": states.count(state) for state in ("reused", "failed", "stopped")},
            "best_architecture": result.best.architecture.to_dict(),
            f"inherited_{metric}": result.best.value,
        }

    def _retrain(self) -> dict[str, Any]:
        plan, (metric, mode) = self.plan, self.task.objective
        best = Architecture.load(self.space, self.folder.best)
        chosen = [best, *self._random_architectures(best)]
        split = "test" if self.task.test_data is not None else "valid"
        self.display.stage("retrain", f"the best and {plan.num_random} random ones from scratch, {plan.retrain_epochs} epochs")
        result = search(
            self.space,
            from_scratch(self.task, epochs=plan.retrain_epochs, seed=plan.seed, split=split),
            searcher=Listed(chosen),
            metric=metric,
            mode=mode,
            num_trials=len(chosen),
            max_concurrent=plan.max_concurrent,
            resources_per_trial=plan.trial_resources,
            engine=plan.engine,
            storage_path=self.folder.path,
            name="retrain",
            resume=True,
            on_event=self.display.trials,
        )
        return self._retrained_figures(result, split)

    def _retrained_figures(self, result: SearchResult, split: str) -> dict[str, Any]:
        metric = self.task.objective[0]
        if metric not in result.records[0].metrics:
            raise OptionError(f"retraining the best architecture failed: {result.records[0].error}")
        saved = SavedFiles(self.folder.storage.folder("retrain/checkpoints"), 0)
        files = saved.load()
        assert files is not None
        shutil.copy2(files / WEIGHTS, self.folder.path / WEIGHTS)
        values = [record.metrics[metric] for record in result.records.values() if metric in record.metrics]
        figures: dict[str, Any] = {f"{split}_{metric}": values[0], f"random_{split}_{metric}": values[1:]}
        if values[1:]:
            figures[f"random_{split}_{metric}_mean"] = sum(values[1:]) / len(values[1:])
        cost = Profiler(self.task.model(), self.task.sample_input()).profile(result.records[0].architecture)
        return {**figures, "params": cost.params, "flops": cost.flops}

    def _random_architectures(self, best: Architecture) -> list[Architecture]:
        """Different ones within the limits, drawn uniformly."""
        rng, limits = Random(self.plan.seed), self._limits()
        found: dict[str, Architecture] = {}
        for _ in range(1_000 * self.plan.num_random):
            if len(found) == self.plan.num_random:
                break
            drawn = self.space.sample(rng)
            if drawn != best and (limits is None or limits(drawn)):
                found[drawn.digest] = drawn
        return list(found.values())

    def _limits(self) -> Within | None:
        plan = self.plan
        if plan.max_flops is None and plan.max_params is None:
            return None
        if self._constraint is None:
            self._constraint = within(self.task, flops=plan.max_flops, params=plan.max_params)
        return self._constraint

    def _needs_ray(self, stage: str) -> bool:
        if stage == "supernet":
            return self.plan.num_workers != 0
        return stage in ("search", "retrain") and self.plan.engine != "local"

    def _connect(self) -> None:
        from raynas.runtime import check_storage, connect

        connect(object_store_bytes=self.plan.object_store_memory)
        if not self._allow_local:
            check_storage(self.folder.storage)


class Listed(Searcher):
    """Proposes what is on a list, in its order."""

    def __init__(self, architectures: list[Architecture]) -> None:
        super().__init__()
        self._left = list(architectures)

    def generate_parameters(self, parameter_id: int) -> Architecture:
        if not self._left:
            raise NoMoreTrials("the list is at its end")
        return self._left.pop(0)


def _in_words(num_workers: int | tuple[int, int]) -> str:
    return f"{num_workers[0]} to {num_workers[1]}" if isinstance(num_workers, tuple) else str(num_workers)


def start_run(
    file: str | Path,
    display: Display,
    *,
    plan: Plan,
    storage_path: str | Path,
    name: str | None,
    allow_local: bool = False,
) -> Run:
    """Make a run folder with a copy of the file and the plan.

    Args:
        file: defines ``task``.
        display: see ``Run``.
        plan: what is done.
        storage_path: the folder of run folders, or its URI.
        name: of the run folder; the file's name, numbered, if ``None``.
        allow_local: see ``Run``.

    Raises:
        TaskError: the file is wrong.
        RunExistsError: a run of that name is there.
    """
    file = Path(file)
    task, _ = load_task_file(file)
    generate_search_space(task.model())
    folder = RunFolder.create(storage_path, name) if name else RunFolder.numbered(storage_path, file.stem)
    shutil.copy2(file, folder.path / file.name)
    write_json({"file": file.name, "plan": plan.to_dict()}, folder.plan)
    return Run(folder, display, allow_local=allow_local)


def task_file_of(folder: RunFolder) -> Path:
    """The copy of the file that a run was started from.

    Raises:
        RunNotFoundError: the run was not started from a file.
    """
    name = read_json(folder.plan).get("file") if folder.plan.exists() else None
    path = folder.path / name if isinstance(name, str) and Path(name).name == name else None
    if path is None or path.is_symlink() or not path.is_file():
        raise RunNotFoundError(
            f"{folder.path} was not started from a file, so it cannot be resumed by its name; "
            "call raynas.search again with resume=True"
        )
    return path
