"""What a model declares: the mutables, and what can be made of a model that has them. No Ray."""

from raynas.nn.freeze import freeze, transplant
from raynas.nn.generate import generate_search_space
from raynas.nn.input_choice import InputChoice
from raynas.nn.layer_choice import LayerChoice
from raynas.nn.mutable import ChoiceMutable, Mutable
from raynas.nn.mutable_scope import MutableScope
from raynas.nn.profile import Profile, Profiler, profile
from raynas.nn.reduction import Reduction, reduce_outputs
from raynas.nn.walk import Owner, Place, choice_places, find_mutables, state_owners

__all__ = [
    "ChoiceMutable",
    "InputChoice",
    "LayerChoice",
    "Mutable",
    "MutableScope",
    "Owner",
    "Place",
    "Profile",
    "Profiler",
    "Reduction",
    "choice_places",
    "find_mutables",
    "freeze",
    "generate_search_space",
    "profile",
    "reduce_outputs",
    "state_owners",
    "transplant",
]
