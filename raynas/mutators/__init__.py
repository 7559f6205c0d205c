"""Who decides in ``forward``: mutators. No Ray."""

from raynas.mutators.base import BaseMutator
from raynas.mutators.controller import ControllerMutator, Draws
from raynas.mutators.fixed import FixedMutator, apply_fixed_architecture
from raynas.mutators.mutator import Mutator
from raynas.mutators.random import RandomMutator

__all__ = [
    "BaseMutator",
    "ControllerMutator",
    "Draws",
    "FixedMutator",
    "Mutator",
    "RandomMutator",
    "apply_fixed_architecture",
]
