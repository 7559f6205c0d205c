"""One key of a search space: its candidates, how many are picked, and when the key is active.

The options of a domain (everything that can be picked) are numbered from 0; ``option`` turns a number into the
indices of candidates. How domains depend on each other is in ``conditions``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from raynas.errors import SpaceError

LAYER_CHOICE, INPUT_CHOICE, CHOICE = "layer_choice", "input_choice", "choice"
KINDS = (LAYER_CHOICE, INPUT_CHOICE, CHOICE)
Candidate = str | int | float
Indices = tuple[int, ...]


class Domain(Mapping[str, Any]):
    """What one mutable can pick. Immutable; as a Mapping it reads like its JSON (``_type``, ``_value``, ``_when``).

    Attributes:
        key: the mutable's key.
        kind: ``"layer_choice"``, ``"input_choice"`` or ``"choice"``.
        candidates: names of operators or inputs, or the values of a choice.
        n_chosen: how many inputs are picked, ``None`` for any number; 1 for the other kinds.
        when: for every ancestor, the indices at which this key is active; empty for a key that always is.
        num_options: how many different picks there are.
    """

    __slots__ = ("_document", "candidates", "key", "kind", "n_chosen", "num_options", "when")

    def __init__(self, key: str, document: Mapping[str, Any]) -> None:
        if not isinstance(document, Mapping):
            raise SpaceError(f"key {key!r}: found {document!r}; expected an object with _type and _value")
        unknown = [name for name in document if name not in ("_type", "_value", "_when")]
        if unknown:
            raise SpaceError(f"key {key!r}: unknown field {unknown[0]!r}; expected _type, _value and perhaps _when")
        kind = document.get("_type")
        if kind not in KINDS:
            raise SpaceError(f"key {key!r}: unknown _type {kind!r}; expected one of {', '.join(KINDS)}")
        if "_value" not in document:
            raise SpaceError(f"key {key!r}: _value is missing")
        candidates, n_chosen = _parse_value(key, kind, document["_value"])
        self.key, self.kind, self.candidates, self.n_chosen = key, kind, candidates, n_chosen
        self.when: Mapping[str, Indices] = MappingProxyType(_parse_when(key, document.get("_when", {})))
        n = len(candidates)
        self.num_options = n if kind != INPUT_CHOICE else 2**n if n_chosen is None else math.comb(n, n_chosen)
        value: Any = candidates
        if kind == INPUT_CHOICE:
            value = MappingProxyType({"candidates": candidates, "n_chosen": n_chosen})
        self._document = {"_type": kind, "_value": value} | ({"_when": self.when} if self.when else {})

    def __getitem__(self, field: str) -> Any:
        return self._document[field]

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)

    def __repr__(self) -> str:
        return f"Domain({self.key!r}, {self.to_dict()!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Domain, (self.key, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """A fresh plain dict, as in JSON."""
        value: Any = list(self.candidates)
        if self.kind == INPUT_CHOICE:
            value = {"candidates": value, "n_chosen": self.n_chosen}
        document = {"_type": self.kind, "_value": value}
        return document | ({"_when": {parent: list(at) for parent, at in self.when.items()}} if self.when else {})

    def option(self, number: int) -> Indices:
        """The indices picked by option ``number``, ascending; 0 <= number < num_options."""
        if self.kind != INPUT_CHOICE:
            return (number,)
        n = len(self.candidates)
        if self.n_chosen is None:
            return tuple(i for i in range(n) if number >> i & 1)
        picked, left = [], self.n_chosen
        for i in range(n):
            if not left:
                break
            with_i = math.comb(n - i - 1, left - 1)
            if number < with_i:
                picked.append(i)
                left -= 1
            else:
                number -= with_i
        return tuple(picked)


def _parse_value(key: str, kind: str, value: Any) -> tuple[tuple[Candidate, ...], int | None]:
    n_chosen: Any = 1
    if kind == INPUT_CHOICE:
        if not isinstance(value, Mapping) or set(value) != {"candidates", "n_chosen"}:
            raise SpaceError(f"key {key!r}: _value is {value!r}; expected an object with candidates and n_chosen")
        value, n_chosen = value["candidates"], value["n_chosen"]
    if not isinstance(value, list | tuple) or not value:
        raise SpaceError(f"key {key!r}: found {value!r}; expected a list with at least one candidate")
    for candidate in value:
        _check_candidate(key, kind, candidate)
    if n_chosen is not None and (type(n_chosen) is not int or not 0 <= n_chosen <= len(value)):
        raise SpaceError(f"key {key!r}: n_chosen is {n_chosen!r}; expected null or an integer from 0 to {len(value)}")
    return tuple(value), n_chosen


def _check_candidate(key: str, kind: str, candidate: Any) -> None:
    if kind != CHOICE and not isinstance(candidate, str):
        raise SpaceError(f"key {key!r}: candidate {candidate!r} is no string; candidates of a {kind} are names")
    if not isinstance(candidate, str | int | float) or (isinstance(candidate, float) and not math.isfinite(candidate)):
        raise SpaceError(f"key {key!r}: candidate {candidate!r} is neither a finite number nor a string")
    if isinstance(candidate, str) and not candidate.isascii() and any("\ud800" <= char <= "\udfff" for char in candidate):
        raise SpaceError(f"key {key!r}: candidate {candidate!r} holds a lone surrogate, which no file can hold")


def _parse_when(key: str, when: Any) -> dict[str, Indices]:
    if not isinstance(when, Mapping):
        raise SpaceError(f"key {key!r}: _when is {when!r}; expected an object, parent to list of indices")
    parsed: dict[str, Indices] = {}
    for parent, indices in when.items():
        whole = isinstance(indices, list | tuple) and all(type(index) is int for index in indices)
        if not whole or not indices or len(set(indices)) != len(indices):
            raise SpaceError(f"key {key!r}: _when[{parent!r}] is {indices!r}; expected a list of distinct indices")
        parsed[parent] = tuple(sorted(indices))
    return parsed
