"""What can vary: the search space and its architectures, as JSON. No torch, no Ray, only the standard library."""

from raynas.space.architecture import Architecture, Choice
from raynas.space.difference import KeyChange, SpaceDifference
from raynas.space.domain import CHOICE, INPUT_CHOICE, LAYER_CHOICE, Domain, Indices
from raynas.space.generator import generator_state, restore_generator
from raynas.space.search_space import SearchSpace

__all__ = [
    "CHOICE",
    "INPUT_CHOICE",
    "LAYER_CHOICE",
    "Architecture",
    "Choice",
    "Domain",
    "Indices",
    "KeyChange",
    "SearchSpace",
    "SpaceDifference",
    "generator_state",
    "restore_generator",
]
