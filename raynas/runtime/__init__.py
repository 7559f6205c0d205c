"""Where it runs: the only folder that imports Ray. The engines, the Train driver, the object-store registry.

Each name is loaded when it is first asked for: a worker that runs trials needs neither Ray Train nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raynas.runtime.cluster.connection import connect as connect
    from raynas.runtime.cluster.connection import disconnect as disconnect
    from raynas.runtime.cluster.connection import ship as ship
    from raynas.runtime.cluster.doctor import Finding as Finding
    from raynas.runtime.cluster.doctor import examine as examine
    from raynas.runtime.cluster.jobs import Jobs as Jobs
    from raynas.runtime.cluster.nodes import check_storage as check_storage
    from raynas.runtime.pool.pool_engine import run_pool as run_pool
    from raynas.runtime.registry.handles import end_registry as end_registry
    from raynas.runtime.registry.ray_store import open_ray_store as open_ray_store
    from raynas.runtime.train.train_driver import TrainDriverOptions as TrainDriverOptions
    from raynas.runtime.train.train_driver import train_on_ray as train_on_ray
    from raynas.runtime.tune.tune_engine import run_tune as run_tune
    from raynas.runtime.tune.tune_space import TuneSearcherAdapter as TuneSearcherAdapter
    from raynas.runtime.tune.tune_space import architecture_from_tune as architecture_from_tune
    from raynas.runtime.tune.tune_space import tune_config as tune_config
    from raynas.runtime.tune.tune_space import tune_param_space as tune_param_space

_HOMES = {
    "Finding": "cluster.doctor",
    "Jobs": "cluster.jobs",
    "TrainDriverOptions": "train.train_driver",
    "TuneSearcherAdapter": "tune.tune_space",
    "architecture_from_tune": "tune.tune_space",
    "check_storage": "cluster.nodes",
    "connect": "cluster.connection",
    "disconnect": "cluster.connection",
    "end_registry": "registry.handles",
    "examine": "cluster.doctor",
    "open_ray_store": "registry.ray_store",
    "run_pool": "pool.pool_engine",
    "run_tune": "tune.tune_engine",
    "ship": "cluster.connection",
    "train_on_ray": "train.train_driver",
    "tune_config": "tune.tune_space",
    "tune_param_space": "tune.tune_space",
}

__all__ = [
    "Finding",
    "Jobs",
    "TrainDriverOptions",
    "TuneSearcherAdapter",
    "architecture_from_tune",
    "check_storage",
    "connect",
    "disconnect",
    "end_registry",
    "examine",
    "open_ray_store",
    "run_pool",
    "run_tune",
    "ship",
    "train_on_ray",
    "tune_config",
    "tune_param_space",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
