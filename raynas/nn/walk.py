"""The walk over a model that finds its mutables: their keys, their conditions, and to whom each weight belongs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import nn

from raynas.errors import ModelError
from raynas.nn.layers.base import SlicedLayer
from raynas.nn.mutable import ChoiceMutable, Mutable
from raynas.nn.varying import Varying

WRAPPERS = ("module", "_orig_mod")  # segments that DistributedDataParallel and torch.compile put into paths
When = dict[str, list[int]]
Condition = tuple[str, tuple[int, ...]]  # a key, and the indices at which it makes use of a weight
Owner = tuple[Condition, ...]  # all of them must hold; none at all: what lies outside all choices


@dataclass
class Place:
    """A mutable in the model.

    Attributes:
        key: the one given by hand, else its path without wrappers; for an argument of a layer ``<layer>.<argument>``.
        path: its first path in ``named_modules()``.
        mutable: the module.
        uses: the conditions under which it is used: for every choice that it lies inside, key to indices.
    """

    key: str
    path: str
    mutable: Mutable
    uses: list[When] = field(default_factory=list)


def find_mutables(model: nn.Module) -> list[Place]:
    """Every mutable of the model, scopes included, parents before children, in the order of ``named_modules()``.

    Raises:
        ModelError: an automatic key equals one given by hand, or the model itself is a mutable without a key.
    """
    by_module: dict[int, Place] = {}
    for place in _Walk().visit(model, "", "", {}):
        known = by_module.setdefault(id(place.mutable), place)
        if known is not place:
            known.uses += place.uses
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


def state_owners(model: nn.Module) -> dict[str, Owner]:
    """For every name of ``state_dict``, the choices that it hangs on, the outermost first; empty outside all choices.

    A tensor that is used in several places hangs on what these have in common.
    """
    keys = {id(place.mutable): place.key for place in find_mutables(model)}
    guarded: dict[str, Condition] = {}
    for path, module in model.named_modules(remove_duplicate=False):  # a shared module's weights have all of its names
        if isinstance(module, Varying):
            for child, mutable, indices in module.guards():
                guarded[_join(path, child)] = (keys[id(mutable)], indices)
    by_tensor: dict[int, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        by_tensor.setdefault(id(tensor), []).append(name)
    owners: dict[str, Owner] = {}
    for names in by_tensor.values():
        first, *others = [_conditions(name, guarded) for name in names]
        owners.update(dict.fromkeys(names, tuple(each for each in first if all(each in other for other in others))))
    return {name: owners[name] for name in model.state_dict()}


def merge_conditions(key: str, uses: list[When]) -> When:
    """The condition of a key that is used in several places: that one of their conditions holds.

    Conditions that differ in the indices of one parent are merged; one that follows from another says nothing new.

    Raises:
        ModelError: they differ in more.
    """
    left = list(uses)
    while (pair := _find_pair(left)) is not None:
        one, other, merged = pair
        left = [merged, *(use for position, use in enumerate(left) if position not in (one, other))]
    if len(left) > 1:
        raise ModelError(
            f"key {key!r} is used under conditions that have nothing to do with each other: {left[0]} and {left[1]}; "
            "give one of the mutables another key, or use this one outside of both choices too"
        )
    return left[0]


def _find_pair(uses: list[When]) -> tuple[int, int, When] | None:
    for one, other in itertools.combinations(range(len(uses)), 2):
        merged = _either(uses[one], uses[other])
        if merged is not None:
            return one, other, merged
    return None


def _either(one: When, other: When) -> When | None:
    if _follows(one, other):
        return other
    if _follows(other, one):
        return one
    differing = [parent for parent in one if other.get(parent) != one[parent]]
    if set(one) != set(other) or len(differing) > 1:
        return None
    return {parent: sorted({*one[parent], *other[parent]}) for parent in one}


def _follows(strict: When, lenient: When) -> bool:
    """Whether ``lenient`` holds wherever ``strict`` does."""
    return all(parent in strict and set(strict[parent]) <= set(at) for parent, at in lenient.items())


def _conditions(name: str, guarded: dict[str, Condition]) -> Owner:
    segments = name.split(".")
    prefixes = (".".join(segments[:length]) for length in range(1, len(segments)))
    return tuple(dict.fromkeys(guarded[prefix] for prefix in prefixes if prefix in guarded))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@dataclass
class _Walk:
    """One walk over a model. A module that is used twice is visited once for each set of conditions, under its first key.

    Attributes:
        keys: of the mutables seen, by ``id``.
        seen: the visits, by ``id`` and conditions.
        guards: paths of modules that hang on a choice, with its key and indices.
    """

    keys: dict[int, str] = field(default_factory=dict)
    seen: set[tuple[int, str]] = field(default_factory=set)
    guards: dict[str, tuple[str, list[int]]] = field(default_factory=dict)

    def visit(self, module: nn.Module, path: str, name: str, when: When) -> Iterator[Place]:
        """Yield the mutables at and below ``path``; ``name`` is the path as keys have it."""
        if path in self.guards:
            guard, at = self.guards[path]
            when = {**when, guard: [index for index in at if index in when.get(guard, at)]}  # one depth, inside of itself
        if (id(module), str(when)) in self.seen:
            return
        self.seen.add((id(module), str(when)))
        if isinstance(module, Mutable):
            key = self.keys.setdefault(id(module), name if module.given_key is None else module.given_key)
            yield Place(key, path, module, [when])
        children = [(child_name, child) for child_name, child in module._modules.items() if child is not None]
        if isinstance(module, Varying):
            # What decides comes first: its key must be known when the modules that hang on it are reached.
            for child_path, mutable, indices in module.guards():
                if mutable is not module and id(mutable) not in self.keys:
                    where = next(child_name for child_name, child in children if child is mutable)
                    yield from self.visit(mutable, _join(path, where), _join(name, where), when)
                self.guards[_join(path, child_path)] = (self.keys[id(mutable)], list(indices))
        for child_name, child in children:
            silent = child_name in WRAPPERS or (isinstance(module, SlicedLayer) and child is module.arguments)
            yield from self.visit(child, _join(path, child_name), name if silent else _join(name, child_name), when)
