"""From a model with mutables and an architecture to a plain model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from raynas.errors import ModelError
from raynas.nn.frozen import SelectedLayer, SelectInputs
from raynas.nn.generate import generate_search_space
from raynas.nn.input_choice import InputChoice
from raynas.nn.layer_choice import LayerChoice
from raynas.nn.walk import Place, choice_places
from raynas.space import Architecture


def freeze(model: nn.Module, architecture: Mapping[str, Any]) -> nn.Module:
    """The plain module tree of one architecture: only what was chosen, its weights copied; ``model`` is left as it is.

    A layer choice becomes the candidate chosen, under the layer choice's own name; an input choice becomes a
    ``raynas.nn.frozen.SelectInputs``.

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

    The model is deep-copied with a memo that holds the frozen part for every mutable; so what was not chosen is never
    touched, and a reference to a mutable from anywhere in the model leads to what became of it.

    Args:
        model: a model with mutables.
        places: its choices, ``choice_places(model)``.
        architecture: of the model's space.
        tensors: by names of the model's ``state_dict``; parameters among them come without gradient.
    """
    memo: dict[int, Any] = {}
    for name, tensor in tensors.items():
        owner, _, leaf = name.rpartition(".")
        old = getattr(model.get_submodule(owner), leaf)
        memo[id(old)] = nn.Parameter(tensor, requires_grad=False) if isinstance(old, nn.Parameter) else tensor
    for place in reversed(places):  # children before parents
        if place.key in architecture:
            memo[id(place.mutable)] = _frozen(place, architecture[place.key].indices, memo)
    plain: nn.Module = copy.deepcopy(model, memo)
    return plain


def _frozen(place: Place, indices: tuple[int, ...], memo: dict[int, Any]) -> nn.Module:
    choice = place.mutable
    if isinstance(choice, InputChoice):
        return SelectInputs(choice.names, indices, reduction=choice.reduction, return_mask=choice.return_mask)
    if not isinstance(choice, LayerChoice):
        raise ModelError(f"key {place.key!r}: a {type(choice).__name__} cannot be frozen")
    layer: nn.Module = copy.deepcopy(choice.candidates[indices[0]], memo)
    if choice.return_mask or choice.reduction == "none":
        as_list = choice.reduction == "none"
        return SelectedLayer(layer, indices[0], len(choice), as_list=as_list, return_mask=choice.return_mask)
    return layer
