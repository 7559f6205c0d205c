"""raynas: neural architecture search on Ray. The door: every public name, each loaded when it is first asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raynas.api.connection import connect as connect
    from raynas.api.connection import disconnect as disconnect
    from raynas.api.doctor import doctor as doctor
    from raynas.api.evaluators import from_scratch as from_scratch
    from raynas.api.evaluators import inherited as inherited
    from raynas.api.jobs import download as download
    from raynas.api.jobs import is_dashboard as is_dashboard
    from raynas.api.jobs import job_status as job_status
    from raynas.api.jobs import logs as logs
    from raynas.api.jobs import pack_run as pack_run
    from raynas.api.jobs import stop as stop
    from raynas.api.jobs import submit as submit
    from raynas.api.jobs import submit_resume as submit_resume
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
    "connect": "api.connection",
    "disconnect": "api.connection",
    "doctor": "api.doctor",
    "download": "api.jobs",
    "freeze": "nn",
    "from_scratch": "api.evaluators",
    "generate_search_space": "nn",
    "inherited": "api.evaluators",
    "is_dashboard": "api.jobs",
    "job_status": "api.jobs",
    "load_model": "api.task_file",
    "load_retrained": "api.retrain",
    "load_task_file": "api.task_file",
    "logs": "api.jobs",
    "measure_latency": "nn",
    "output_shapes": "api.output_shapes",
    "pack_run": "api.jobs",
    "profile": "nn",
    "retrain": "api.retrain",
    "search": "api.search",
    "searchers": "explore",
    "start_run": "api.run",
    "stop": "api.jobs",
    "submit": "api.jobs",
    "submit_resume": "api.jobs",
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
    "connect",
    "disconnect",
    "doctor",
    "download",
    "freeze",
    "from_scratch",
    "generate_search_space",
    "inherited",
    "is_dashboard",
    "job_status",
    "load_model",
    "load_retrained",
    "load_task_file",
    "logs",
    "measure_latency",
    "output_shapes",
    "pack_run",
    "profile",
    "retrain",
    "search",
    "searchers",
    "start_run",
    "stop",
    "submit",
    "submit_resume",
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
