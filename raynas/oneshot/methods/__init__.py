"""The methods by which a supernet's weights are trained, one a file."""

from raynas.oneshot.methods.spos import SposTrainer
from raynas.oneshot.one_shot_trainer import OneShotTrainer

METHODS: dict[str, type[OneShotTrainer]] = {"spos": SposTrainer}

__all__ = ["METHODS", "SposTrainer"]
