"""What a model declares: the mutables, and what can be made of a model that has them. No Ray."""

from raynas.nn.cell import Cell
from raynas.nn.freeze import freeze, transplant
from raynas.nn.generate import generate_search_space
from raynas.nn.input_choice import InputChoice
from raynas.nn.latency import Latency, measure_latency
from raynas.nn.layer_choice import LayerChoice
from raynas.nn.layers import (
    BatchNorm1d,
    BatchNorm2d,
    Conv1d,
    Conv2d,
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    MultiheadAttention,
)
from raynas.nn.layers.base import SlicedLayer
from raynas.nn.mutable import ChoiceMutable, Mutable, ReducingChoice
from raynas.nn.mutable_scope import MutableScope
from raynas.nn.profile import Profile, Profiler, profile, without_numbers
from raynas.nn.reduction import Reduction, reduce_outputs
from raynas.nn.repeat import Repeat
from raynas.nn.value import DerivedValue, Value
from raynas.nn.value_choice import ValueChoice
from raynas.nn.varying import Choices, Varying
from raynas.nn.walk import Owner, Place, choice_places, find_mutables, state_owners

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "Cell",
    "ChoiceMutable",
    "Choices",
    "Conv1d",
    "Conv2d",
    "DerivedValue",
    "Dropout",
    "Embedding",
    "InputChoice",
    "Latency",
    "LayerChoice",
    "LayerNorm",
    "Linear",
    "MultiheadAttention",
    "Mutable",
    "MutableScope",
    "Owner",
    "Place",
    "Profile",
    "Profiler",
    "ReducingChoice",
    "Reduction",
    "Repeat",
    "SlicedLayer",
    "Value",
    "ValueChoice",
    "Varying",
    "choice_places",
    "find_mutables",
    "freeze",
    "generate_search_space",
    "measure_latency",
    "profile",
    "reduce_outputs",
    "state_owners",
    "transplant",
    "without_numbers",
]
