"""Where it runs: the only folder that imports Ray. The Tune engine, the Train driver, the object-store registry.

Each name is loaded when it is first asked for: a worker that runs trials needs neither Ray Train nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raynas.runtime.cluster import connect as connect
    from raynas.runtime.cluster import disconnect as disconnect
    from raynas.runtime.cluster import ship as ship
    from raynas.runtime.registry_actor import open_ray_store as open_ray_store
    from raynas.runtime.train_driver import TrainDriverOptions as TrainDriverOptions
    from raynas.runtime.train_driver import train_on_ray as train_on_ray
    from raynas.runtime.tune_engine import run_tune as run_tune

_HOMES = {
    "TrainDriverOptions": "train_driver",
    "connect": "cluster",
    "disconnect": "cluster",
    "open_ray_store": "registry_actor",
    "run_tune": "tune_engine",
    "ship": "cluster",
    "train_on_ray": "train_driver",
}

__all__ = [
    "TrainDriverOptions",
    "connect",
    "disconnect",
    "open_ray_store",
    "run_tune",
    "ship",
    "train_on_ray",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
