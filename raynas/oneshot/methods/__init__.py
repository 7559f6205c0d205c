"""The methods by which a supernet's weights are trained, one a file."""

from raynas.oneshot.methods.enas import EnasTrainer
from raynas.oneshot.methods.fairnas import FairnasTrainer
from raynas.oneshot.methods.sandwich import SandwichTrainer
from raynas.oneshot.methods.spos import SposTrainer
from raynas.oneshot.one_shot_trainer import OneShotTrainer

METHODS: dict[str, type[OneShotTrainer]] = {
    "spos": SposTrainer,
    "fairnas": FairnasTrainer,
    "sandwich": SandwichTrainer,
    "enas": EnasTrainer,
}

__all__ = [
    "METHODS",
    "EnasTrainer",
    "FairnasTrainer",
    "SandwichTrainer",
    "SposTrainer",
]
