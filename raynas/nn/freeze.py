"""From a model with mutables and an architecture to a plain model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from raynas.nn.frozen import Constant, set_mode
from raynas.nn.generate import generate_search_space
from raynas.nn.value import Chosen
from raynas.nn.varying import Choices
from raynas.nn.walk import Place, choice_places
from raynas.space import Architecture


def freeze(model: nn.Module, architecture: Mapping[str, Any]) -> nn.Module:
    """The plain module tree of one architecture: only what was chosen, its weights copied; ``model`` is left as it is.

    A layer choice becomes the candidate chosen, under the layer choice's own name. A layer of ``raynas.nn`` becomes torch's
    layer of the size chosen, with the same names of weights. A ``Repeat`` keeps the blocks up to its depth, under their names.
    An input choice, a cell and a value become one of the few modules of ``raynas.nn.frozen``.

    Args:
        model: a model with mutables, bound to a mutator or not.
        architecture: an ``Architecture`` of its space, or the same as plain dicts.

    Raises:
        ModelError: the model has no mutables.
        ArchitectureError: the architecture does not fit the model's space; the message names the key.

    Example:
        >>> from torch import nn
        >>> from raynas.nn import LayerChoice
        >>> net = nn.Sequential(LayerChoice({"small": nn.Linear(4, 2), "none": nn.Identity()}, key="op"))
        >>> freeze(net, {"op": {"_value": "small"}})
        Sequential(
          (0): Linear(in_features=4, out_features=2, bias=True)
        )
    """
    chosen = Architecture.from_dict(generate_search_space(model), architecture)
    return transplant(model, choice_places(model), chosen, {})


def transplant(model: nn.Module, places: list[Place], architecture: Architecture, tensors: Mapping[str, Tensor]) -> nn.Module:
    """``freeze`` with weights from elsewhere, which are taken as they are and not copied.

    Args:
        model: a model with mutables.
        places: its choices, ``choice_places(model)``.
        architecture: of the model's space.
        tensors: by names of the model's ``state_dict``; parameters among them come without gradient.
    """
    given: dict[int, Tensor] = {}
    for name, tensor in tensors.items():
        owner, _, leaf = name.rpartition(".")
        old = getattr(model.get_submodule(owner), leaf)
        given[id(old)] = nn.Parameter(tensor, requires_grad=False) if isinstance(old, nn.Parameter) else tensor
    choices = Choices(architecture, {id(place.mutable): place.key for place in places}, given)
    for place in places:
        if isinstance(place.mutable, Chosen) and place.key in architecture:
            value = place.mutable.possible()[architecture.indices[place.key][0]]
            choices.decided[id(place.mutable)] = value
            choices.replace(place.mutable, Constant(value))  # a module may hold it where no walk comes, in a list
    plain: nn.Module = choices.copy(model)
    set_mode(plain, model.training)
    return plain
