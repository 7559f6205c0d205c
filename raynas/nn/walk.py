"""The walk over a model that finds its mutables: their keys, their conditions, and to whom each weight belongs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import nn

from raynas.errors import ModelError
from raynas.nn.layer_choice import LayerChoice
from raynas.nn.mutable import ChoiceMutable, Mutable

WRAPPERS = ("module", "_orig_mod")  # segments that DistributedDataParallel and torch.compile put into paths
When = dict[str, list[int]]
Owner = tuple[str, int]  # a layer choice's key, the index of a candidate


@dataclass
class Place:
    """A mutable in the model.

    Attributes:
        key: the one given by hand, else its path.
        path: its first path in ``named_modules()``, wrappers included.
        mutable: the module.
        when: the candidates that it lies inside: layer choice's key to indices.
    """

    key: str
    path: str
    mutable: Mutable
    when: When = field(default_factory=dict)


def find_mutables(model: nn.Module) -> list[Place]:
    """Every mutable of the model, scopes included, parents before children, in the order of ``named_modules()``.

    Raises:
        ModelError: an automatic key equals one given by hand, or the model itself is a mutable without a key.
    """
    places = list(_walk(model, "", {}, set()))
    given = {place.mutable.given_key for place in places if place.mutable.given_key is not None}
    automatic: dict[str, str] = {}
    for place in places:
        if place.mutable.given_key is not None:
            continue
        if not place.key:
            raise ModelError(f"the model itself is a {type(place.mutable).__name__}; give it a key")
        if place.key in given:
            raise ModelError(f"key {place.key!r} was given by hand and is also the path of a mutable; change the key")
        if automatic.setdefault(place.key, place.path) != place.path:
            raise ModelError(f"the mutables {automatic[place.key]} and {place.path} have one key; give one of them a key")
    return places


def choice_places(model: nn.Module) -> list[Place]:
    """``find_mutables`` without the scopes: what makes choices."""
    return [place for place in find_mutables(model) if isinstance(place.mutable, ChoiceMutable)]


def state_owners(model: nn.Module) -> dict[str, Owner | None]:
    """For every name of ``state_dict``, the innermost candidate that it belongs to; ``None``: outside all choices.

    A tensor that two candidates share lies outside all choices.
    """
    candidates = {}
    for place in find_mutables(model):
        if isinstance(place.mutable, LayerChoice):
            for index, candidate in enumerate(place.mutable.candidates):
                candidates[f"{place.path}.candidates.{index}".lstrip(".")] = (place.key, index, id(candidate))
    owners: dict[str, Owner | None] = {}
    by_storage: dict[int, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        owners[name] = _innermost(name, candidates)
        by_storage.setdefault(id(tensor), []).append(name)
    for names in by_storage.values():
        if len({owners[name] for name in names}) > 1:
            owners.update(dict.fromkeys(names, None))
    return owners


def _innermost(name: str, candidates: dict[str, tuple[str, int, int]]) -> Owner | None:
    prefix = name
    while "." in prefix:
        prefix = prefix.rpartition(".")[0]
        if prefix in candidates:
            return candidates[prefix][:2]
    return None


def _walk(module: nn.Module, path: str, when: When, seen: set[int]) -> Iterator[Place]:
    if id(module) in seen:
        return
    seen.add(id(module))
    key = path
    if isinstance(module, Mutable):
        segments = [segment for segment in path.split(".") if segment not in WRAPPERS]
        key = module.given_key if module.given_key is not None else ".".join(segments)
        yield Place(key, path, module, when)
    if isinstance(module, LayerChoice):
        for index, candidate in enumerate(module.candidates):
            inside = {**when, key: [index]}
            yield from _walk(candidate, f"{path}.candidates.{index}".lstrip("."), inside, seen)
    for name, child in module.named_children():
        yield from _walk(child, f"{path}.{name}".lstrip("."), when, seen)
