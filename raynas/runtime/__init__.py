"""Where it runs: the only folder that imports Ray. The Tune engine, the Train driver, the object-store registry."""

from raynas.runtime.cluster import connect, disconnect, ship
from raynas.runtime.registry_actor import open_ray_store
from raynas.runtime.train_driver import TrainDriverOptions, train_on_ray
from raynas.runtime.tune_engine import run_tune

__all__ = [
    "TrainDriverOptions",
    "connect",
    "disconnect",
    "open_ray_store",
    "run_tune",
    "ship",
    "train_on_ray",
]
