"""One key of a search space: its candidates, how many are picked, and when the key is active.

The options of a domain (everything that can be picked) are numbered from 0; ``option`` turns a number into the
indices of candidates. How domains depend on each other is in ``conditions``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from random import Random
from types import MappingProxyType
from typing import Any

from raynas.errors import SpaceError
from raynas.space.generator import below
from raynas.space.immutable import Immutable, put
from raynas.space.messages import brief

LAYER_CHOICE, INPUT_CHOICE, CHOICE = "layer_choice", "input_choice", "choice"
KINDS = (LAYER_CHOICE, INPUT_CHOICE, CHOICE)
MAX_COMBINED = 10_000  # inputs to combine: beyond it, counting and numbering the combinations takes minutes
Candidate = str | int | float
Indices = tuple[int, ...]
_ALWAYS: Mapping[str, Indices] = MappingProxyType({})
_TOO_LONG = 10**4_300  # Python, like many a reader of JSON, refuses integers of more digits


class Domain(Immutable, Mapping[str, Any]):
    """What one mutable can pick. Immutable; as a Mapping it reads like its JSON (``_type``, ``_value``, ``_when``).

    An input choice with a fixed ``n_chosen`` has at most ``MAX_COMBINED`` candidates (10,000), so that its number of
    options stays cheap to compute; where any number may be chosen there is no limit.

    Attributes:
        key: the mutable's key.
        kind: ``"layer_choice"``, ``"input_choice"`` or ``"choice"``.
        candidates: names of operators or inputs, or the values of a choice.
        n_chosen: how many inputs are picked, ``None`` for any number; 1 for the other kinds.
        when: for every ancestor, the indices at which this key is active; empty for a key that always is.
        num_options: how many different picks there are.
    """

    __slots__ = ("candidates", "key", "kind", "n_chosen", "num_options", "when")

    key: str
    kind: str
    candidates: tuple[Candidate, ...]
    n_chosen: int | None
    when: Mapping[str, Indices]
    num_options: int

    def __init__(self, key: str, document: Mapping[str, Any]) -> None:
        if not isinstance(document, Mapping):
            raise SpaceError(f"key {key!r}: found {brief(document)}; expected an object with _type and _value")
        for name in document:
            if name not in ("_type", "_value", "_when"):
                raise SpaceError(f"key {key!r}: unknown field {brief(name)}; expected _type, _value and perhaps _when")
        kind = document.get("_type")
        if kind not in KINDS:
            raise SpaceError(f"key {key!r}: unknown _type {brief(kind)}; expected one of {', '.join(KINDS)}")
        if "_value" not in document:
            raise SpaceError(f"key {key!r}: _value is missing")
        candidates, n_chosen = _parse_value(key, kind, document["_value"])
        put(self, "key", key)
        put(self, "kind", kind)
        put(self, "candidates", candidates)
        put(self, "n_chosen", n_chosen)
        put(self, "when", _parse_when(key, document["_when"]) if "_when" in document else _ALWAYS)
        n = len(candidates)
        put(self, "num_options", n if kind != INPUT_CHOICE else 1 << n if n_chosen is None else math.comb(n, n_chosen))

    def __getitem__(self, field: str) -> Any:
        if field == "_type":
            return self.kind
        if field == "_value":
            if self.kind != INPUT_CHOICE:
                return self.candidates
            return MappingProxyType({"candidates": self.candidates, "n_chosen": self.n_chosen})
        if field == "_when" and self.when:
            return self.when
        raise KeyError(field)

    def __iter__(self) -> Iterator[str]:
        return iter(("_type", "_value", "_when") if self.when else ("_type", "_value"))

    def __len__(self) -> int:
        return 3 if self.when else 2

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
        if self.when:
            document["_when"] = {parent: list(at) for parent, at in self.when.items()}
        return document

    @property
    def labels(self) -> tuple[str, ...]:
        """The candidates' names, each once: where names repeat, with their indices.

        Example:
            >>> Domain("skip", {"_type": "layer_choice", "_value": ["conv", "pool", "conv"]}).labels
            ('conv[0]', 'pool', 'conv[2]')
        """
        names = [str(candidate) for candidate in self.candidates]
        count = Counter(names)
        return tuple(name if count[name] == 1 else f"{name}[{index}]" for index, name in enumerate(names))

    def option(self, number: int) -> Indices:
        """The indices picked by option ``number``, ascending; 0 <= number < num_options."""
        if self.kind != INPUT_CHOICE:
            return (number,)
        if self.n_chosen is None:
            return tuple(i for i, bit in enumerate(reversed(f"{number:b}")) if bit == "1")
        picked, left, options = [], self.n_chosen, self.num_options
        for n in range(len(self.candidates), 0, -1):
            if not left:
                break
            with_next = options * left // n  # exact, and far cheaper than a binomial coefficient from scratch
            if number < with_next:
                picked.append(len(self.candidates) - n)
                left, options = left - 1, with_next
            else:
                number, options = number - with_next, options - with_next
        return tuple(picked)

    def neighbours(self, indices: Indices) -> Iterator[Indices]:
        """Every pick that is one step from ``indices``, in a fixed order, each once and never ``indices`` itself.

        A step is another candidate; of an input choice one input swapped for another, or, where any number may be chosen,
        one added or removed.

        Example:
            >>> inputs = {"_type": "input_choice", "_value": {"candidates": ["x", "y", "z"], "n_chosen": 2}}
            >>> list(Domain("skip", inputs).neighbours((0, 1)))
            [(1, 2), (0, 2)]
        """
        n = len(self.candidates)
        if self.kind != INPUT_CHOICE:
            yield from ((index,) for index in range(n) if index != indices[0])
            return
        picked = set(indices)
        if self.n_chosen is None:
            yield from (tuple(sorted(picked ^ {index})) for index in range(n))
            return
        others = [index for index in range(n) if index not in picked]
        for out in indices:
            left = picked - {out}
            yield from (tuple(sorted(left | {index})) for index in others)

    def step(self, indices: Indices, rng: Random) -> Indices:
        """One of ``neighbours``, each with the same probability; there must be one (``num_options > 1``)."""
        n = len(self.candidates)
        if self.kind != INPUT_CHOICE:
            drawn = below(rng, n - 1)
            return (drawn + (drawn >= indices[0]),)
        picked = set(indices)
        if self.n_chosen is None:
            return tuple(sorted(picked ^ {below(rng, n)}))
        out = indices[below(rng, len(indices))]
        others = [i for i in range(n) if i not in picked]
        return tuple(sorted(picked - {out} | {others[below(rng, len(others))]}))


def _parse_value(key: str, kind: str, value: Any) -> tuple[tuple[Candidate, ...], int | None]:
    n_chosen: Any = 1
    if kind == INPUT_CHOICE:
        if not isinstance(value, Mapping) or set(value) != {"candidates", "n_chosen"}:
            raise SpaceError(f"key {key!r}: _value is {brief(value)}; expected an object with candidates and n_chosen")
        value, n_chosen = value["candidates"], value["n_chosen"]
    if not isinstance(value, list | tuple) or not value:
        raise SpaceError(f"key {key!r}: found {brief(value)}; expected a list with at least one candidate")
    for candidate in value:
        if type(candidate) is not str or not candidate.isascii():  # most are plain names
            _check_candidate(key, kind, candidate)
    if n_chosen is not None and (type(n_chosen) is not int or not 0 <= n_chosen <= len(value)):
        raise SpaceError(f"key {key!r}: n_chosen is {brief(n_chosen)}; expected null or an integer from 0 to {len(value)}")
    if kind == INPUT_CHOICE and n_chosen is not None and len(value) > MAX_COMBINED:
        raise SpaceError(
            f"key {key!r}: {len(value)} inputs with n_chosen {n_chosen}; expected at most {MAX_COMBINED} inputs, "
            "or n_chosen null for any number of them"
        )
    return tuple(value), n_chosen


def _check_candidate(key: str, kind: str, candidate: Any) -> None:
    if kind != CHOICE and not isinstance(candidate, str):
        raise SpaceError(f"key {key!r}: candidate {brief(candidate)} is no string; candidates of a {kind} are names")
    if not isinstance(candidate, str | int | float) or (isinstance(candidate, float) and not math.isfinite(candidate)):
        raise SpaceError(f"key {key!r}: candidate {brief(candidate)} is neither a finite number nor a string")
    if isinstance(candidate, int) and abs(candidate) >= _TOO_LONG:
        raise SpaceError(f"key {key!r}: a candidate is an integer of more than 4,300 digits, which JSON readers refuse")
    if isinstance(candidate, str) and not candidate.isascii() and any("\ud800" <= char <= "\udfff" for char in candidate):
        raise SpaceError(f"key {key!r}: candidate {brief(candidate)} holds a lone surrogate, which no file can hold")


def _parse_when(key: str, when: Any) -> Mapping[str, Indices]:
    if not isinstance(when, Mapping):
        raise SpaceError(f"key {key!r}: _when is {brief(when)}; expected an object, parent to list of indices")
    parsed: dict[str, Indices] = {}
    for parent, indices in when.items():
        whole = isinstance(indices, list | tuple) and all(type(index) is int for index in indices)
        if not whole or not indices or len(set(indices)) != len(indices):
            raise SpaceError(f"key {key!r}: _when[{parent!r}] is {brief(indices)}; expected a list of distinct indices")
        parsed[parent] = tuple(sorted(indices))
    return MappingProxyType(parsed)
