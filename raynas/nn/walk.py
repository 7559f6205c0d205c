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
        when: the candidates that it lies inside: layer choice's key to indices; several where candidates share it.
    """

    key: str
    path: str
    mutable: Mutable
    when: When = field(default_factory=dict)


def find_mutables(model: nn.Module) -> list[Place]:
    """Every mutable of the model, scopes included, parents before children, in the order of ``named_modules()``.

    Raises:
        ModelError: an automatic key equals one given by hand, the model itself is a mutable without a key, or one mutable
            is used under conditions that cannot be merged.
    """
    by_module: dict[int, Place] = {}
    for place in _Walk().visit(model, "", {}):
        known = by_module.setdefault(id(place.mutable), place)
        if isinstance(place.mutable, ChoiceMutable):
            known.when = merge_conditions(place.key, known.when, place.when)
    places = list(by_module.values())
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
    keys = {id(place.mutable): place.key for place in find_mutables(model)}
    candidates: dict[str, Owner] = {}
    for path, module in model.named_modules(remove_duplicate=False):  # a shared module's weights have all of its names
        if isinstance(module, LayerChoice):
            for index in range(len(module)):
                candidates[f"{path}.candidates.{index}".lstrip(".")] = (keys[id(module)], index)
    owners: dict[str, Owner | None] = {}
    by_storage: dict[int, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        owners[name] = _innermost(name, candidates)
        by_storage.setdefault(id(tensor), []).append(name)
    for names in by_storage.values():
        if len({owners[name] for name in names}) > 1:
            owners.update(dict.fromkeys(names, None))
    return owners


def merge_conditions(key: str, one: When, other: When) -> When:
    """The conditions of a key that is used twice, which may differ in the indices of one parent.

    Raises:
        ModelError: they differ in more.
    """
    differing = [parent for parent in one if other.get(parent) != one[parent]]
    if set(one) != set(other) or len(differing) > 1:
        raise ModelError(f"key {key!r} is used twice under different conditions: {one} and {other}; give one its own key")
    return {parent: sorted({*one[parent], *other[parent]}) for parent in one}


def _innermost(name: str, candidates: dict[str, Owner]) -> Owner | None:
    prefix = name
    while "." in prefix:
        prefix = prefix.rpartition(".")[0]
        if prefix in candidates:
            return candidates[prefix]
    return None


@dataclass
class _Walk:
    """One walk over a model. A module that is used twice is visited once for each set of conditions, under its first key."""

    keys: dict[int, str] = field(default_factory=dict)
    seen: set[tuple[int, str]] = field(default_factory=set)

    def visit(self, module: nn.Module, path: str, when: When) -> Iterator[Place]:
        if (id(module), str(when)) in self.seen:
            return
        self.seen.add((id(module), str(when)))
        if isinstance(module, Mutable):
            segments = [segment for segment in path.split(".") if segment not in WRAPPERS]
            key = self.keys.setdefault(id(module), ".".join(segments) if module.given_key is None else module.given_key)
            yield Place(key, path, module, when)
        for name, child in module.named_children():
            if isinstance(module, LayerChoice) and child is module.candidates:
                for index, candidate in enumerate(child):
                    yield from self.visit(candidate, f"{path}.candidates.{index}".lstrip("."), {**when, key: [index]})
            else:
                yield from self.visit(child, f"{path}.{name}".lstrip("."), when)
