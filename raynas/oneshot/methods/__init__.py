"""The methods by which a supernet's weights are trained, one a file."""

from raynas.oneshot.methods.darts import DartsTrainer
from raynas.oneshot.methods.drnas import DrnasTrainer
from raynas.oneshot.methods.enas import EnasTrainer
from raynas.oneshot.methods.fairnas import FairnasTrainer
from raynas.oneshot.methods.gdas import GdasTrainer
from raynas.oneshot.methods.proxyless import ProxylessTrainer
from raynas.oneshot.methods.sandwich import SandwichTrainer
from raynas.oneshot.methods.spos import SposTrainer
from raynas.oneshot.one_shot_trainer import OneShotTrainer

METHODS: dict[str, type[OneShotTrainer]] = {
    "darts": DartsTrainer,
    "drnas": DrnasTrainer,
    "enas": EnasTrainer,
    "fairnas": FairnasTrainer,
    "gdas": GdasTrainer,
    "proxyless": ProxylessTrainer,
    "sandwich": SandwichTrainer,
    "spos": SposTrainer,
}

__all__ = [
    "METHODS",
    "DartsTrainer",
    "DrnasTrainer",
    "EnasTrainer",
    "FairnasTrainer",
    "GdasTrainer",
    "ProxylessTrainer",
    "SandwichTrainer",
    "SposTrainer",
]
