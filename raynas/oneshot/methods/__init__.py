"""The methods by which a supernet's weights are trained, one a file."""

from raynas.oneshot.methods.darts import DartsTrainer
from raynas.oneshot.methods.drnas import DrnasTrainer
from raynas.oneshot.methods.gdas import GdasTrainer
from raynas.oneshot.methods.proxyless import ProxylessTrainer
from raynas.oneshot.methods.spos import SposTrainer
from raynas.oneshot.one_shot_trainer import OneShotTrainer

METHODS: dict[str, type[OneShotTrainer]] = {
    "spos": SposTrainer,
    "darts": DartsTrainer,
    "gdas": GdasTrainer,
    "proxyless": ProxylessTrainer,
    "drnas": DrnasTrainer,
}

__all__ = [
    "METHODS",
    "DartsTrainer",
    "DrnasTrainer",
    "GdasTrainer",
    "ProxylessTrainer",
    "SposTrainer",
]
