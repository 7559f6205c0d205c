"""raynas: neural architecture search on Ray. The door: every public name, each loaded when it is first asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raynas.api.connection import disconnect as disconnect
    from raynas.api.evaluators import from_scratch as from_scratch
    from raynas.api.evaluators import inherited as inherited
    from raynas.api.output_shapes import output_shapes as output_shapes
    from raynas.api.plan import Plan as Plan
    from raynas.api.registry import WeightRegistry as WeightRegistry
    from raynas.api.retrain import Retrained as Retrained
    from raynas.api.retrain import load_retrained as load_retrained
    from raynas.api.retrain import retrain as retrain
    from raynas.api.run import Run as Run
    from raynas.api.run import start_run as start_run
    from raynas.api.run_folder import RunFolder as RunFolder
    from raynas.api.search import search as search
    from raynas.api.search_result import SearchResult as SearchResult
    from raynas.api.supernet import Supernet as Supernet
    from raynas.api.supernet import train_supernet as train_supernet
    from raynas.api.task_file import load_model as load_model
    from raynas.api.task_file import load_task_file as load_task_file
    from raynas.api.within import within as within
    from raynas.errors import NoMoreTrials as NoMoreTrials
    from raynas.errors import RaynasError as RaynasError
    from raynas.errors import TrialStopped as TrialStopped
    from raynas.explore import Proposal as Proposal
    from raynas.explore import Searcher as Searcher
    from raynas.explore import Trial as Trial
    from raynas.explore import searchers as searchers
    from raynas.mutators import apply_fixed_architecture as apply_fixed_architecture
    from raynas.nn import freeze as freeze
    from raynas.nn import generate_search_space as generate_search_space
    from raynas.nn import measure_latency as measure_latency
    from raynas.nn import profile as profile
    from raynas.oneshot import Callback as Callback
    from raynas.oneshot import Task as Task
    from raynas.oneshot import TrainOptions as TrainOptions
    from raynas.report import write_report as write_report
    from raynas.space import Architecture as Architecture
    from raynas.space import SearchSpace as SearchSpace

__version__ = "0.1.0"

_HOMES = {
    "Architecture": "space",
    "Callback": "oneshot",
    "NoMoreTrials": "errors",
    "Plan": "api.plan",
    "Proposal": "explore",
    "RaynasError": "errors",
    "Retrained": "api.retrain",
    "Run": "api.run",
    "RunFolder": "api.run_folder",
    "SearchResult": "api.search_result",
    "SearchSpace": "space",
    "Searcher": "explore",
    "Supernet": "api.supernet",
    "Task": "oneshot",
    "TrainOptions": "oneshot",
    "Trial": "explore",
    "TrialStopped": "errors",
    "WeightRegistry": "api.registry",
    "apply_fixed_architecture": "mutators",
    "disconnect": "api.connection",
    "freeze": "nn",
    "from_scratch": "api.evaluators",
    "generate_search_space": "nn",
    "inherited": "api.evaluators",
    "load_model": "api.task_file",
    "load_retrained": "api.retrain",
    "load_task_file": "api.task_file",
    "measure_latency": "nn",
    "output_shapes": "api.output_shapes",
    "profile": "nn",
    "retrain": "api.retrain",
    "search": "api.search",
    "searchers": "explore",
    "start_run": "api.run",
    "train_supernet": "api.supernet",
    "within": "api.within",
    "write_report": "report",
}

__all__ = [
    "Architecture",
    "Callback",
    "NoMoreTrials",
    "Plan",
    "Proposal",
    "RaynasError",
    "Retrained",
    "Run",
    "RunFolder",
    "SearchResult",
    "SearchSpace",
    "Searcher",
    "Supernet",
    "Task",
    "TrainOptions",
    "Trial",
    "TrialStopped",
    "WeightRegistry",
    "__version__",
    "apply_fixed_architecture",
    "disconnect",
    "freeze",
    "from_scratch",
    "generate_search_space",
    "inherited",
    "load_model",
    "load_retrained",
    "load_task_file",
    "measure_latency",
    "output_shapes",
    "profile",
    "retrain",
    "search",
    "searchers",
    "start_run",
    "train_supernet",
    "within",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'raynas' has no attribute {name!r}")
    value = getattr(import_module(f"raynas.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
