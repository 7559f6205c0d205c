"""From a model to its search space."""

from __future__ import annotations

from typing import Any

from torch import nn

from raynas.errors import ModelError, SpaceError
from raynas.nn.mutable import ChoiceMutable
from raynas.nn.value import Chosen
from raynas.nn.walk import When, choice_places, merge_conditions
from raynas.space import SearchSpace


def generate_search_space(model: nn.Module) -> SearchSpace:
    """Collect every mutable's key and candidates.

    Keys are those given by hand, else paths from ``model``; so they are the same for every instance and in every process.
    Mutables with one key make one entry.

    Raises:
        ModelError: it is no module or has no mutables, or mutables with one key differ in what they can choose.

    Example:
        >>> from torch import nn
        >>> from raynas.nn import LayerChoice
        >>> space = generate_search_space(nn.Sequential(LayerChoice([nn.Identity(), nn.ReLU()])))
        >>> space.to_dict()
        {'0': {'_type': 'layer_choice', '_value': ['0', '1']}}
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"found {model!r}; expected a model, an instance of torch.nn.Module")
    places = choice_places(model)
    if not places:
        raise ModelError(
            f"{type(model).__name__} has no mutables, so there is nothing to search; "
            "put a raynas.nn.LayerChoice or InputChoice, ValueChoice or Repeat where it may vary, as an attribute of a module"
        )
    document: dict[str, dict[str, Any]] = {}
    uses: dict[str, list[When]] = {}
    for place in places:
        assert isinstance(place.mutable, ChoiceMutable)
        entry = place.mutable.to_domain()
        known = document.setdefault(place.key, entry)
        if known != entry:
            expected, found = known["_value"], entry["_value"]
            raise ModelError(f"key {place.key!r} is used twice with different candidates: {expected} and {found}")
        uses.setdefault(place.key, []).extend(place.uses)
        if not isinstance(place.mutable, Chosen) and any(place.key in when for when in place.uses):
            raise ModelError(f"key {place.key!r} is used inside one of its own candidates; give one of the two another key")
    for key, entry in document.items():
        when = merge_conditions(key, uses[key])
        if when:
            entry["_when"] = when
    try:
        return SearchSpace(document)
    except SpaceError as error:
        raise ModelError(str(error)) from error
