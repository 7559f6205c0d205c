"""``Architecture``: a choice for every active key of a search space."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from raynas.errors import ArchitectureError
from raynas.space.document import parse_document, write_document
from raynas.space.domain import CHOICE, INPUT_CHOICE, Candidate, Domain, Indices

if TYPE_CHECKING:
    from raynas.space.search_space import SearchSpace


class Choice(Mapping[str, Any]):
    """What an architecture picks for one key. Immutable; as a Mapping it reads like its JSON (``_value``, ``_idx``).

    Attributes:
        value: the name or value of the candidate; a tuple of names for an input choice.
        indices: the indices of the candidates, ascending.
    """

    __slots__ = ("_several", "indices", "value")

    def __init__(self, domain: Domain, indices: Indices) -> None:
        self._several = domain.kind == INPUT_CHOICE
        picked = tuple(domain.candidates[index] for index in indices)
        self.indices = indices
        self.value: Candidate | tuple[Candidate, ...] = picked if self._several else picked[0]

    def __getitem__(self, field: str) -> Any:
        if field == "_value":
            return self.value
        if field == "_idx":
            return self.indices if self._several else self.indices[0]
        raise KeyError(field)

    def __iter__(self) -> Iterator[str]:
        return iter(("_value", "_idx"))

    def __len__(self) -> int:
        return 2

    def __repr__(self) -> str:
        return f"Choice({self.value!r})"

    def to_dict(self) -> dict[str, Any]:
        """A fresh plain dict, as in JSON."""
        if isinstance(self.value, tuple):
            return {"_value": list(self.value), "_idx": list(self.indices)}
        return {"_value": self.value, "_idx": self.indices[0]}


class Architecture(Mapping[str, Choice]):
    """One sample of a search space: an immutable Mapping from active key to ``Choice``.

    Made by the space (``sample``, ``mutate``, ``validate``, ...) or read with ``from_dict``, ``from_json``, ``load``.
    Equal architectures have equal digests; a plain dict in the JSON form compares equal too.

    Attributes:
        space: the search space that it belongs to.

    Example:
        >>> from raynas import SearchSpace
        >>> space = SearchSpace({"width": {"_type": "choice", "_value": [16, 24, 32]}})
        >>> space.validate({"width": 24})
        Architecture(width=24)
    """

    __slots__ = ("_digest", "_indices", "space")

    def __init__(self, space: SearchSpace, choices: Mapping[str, Any]) -> None:
        self.space = space
        self._indices = _read(space, choices)
        self._digest: str | None = None

    @classmethod
    def trusted(cls, space: SearchSpace, indices: dict[str, Indices]) -> Architecture:
        """From indices that the space itself made, in the order of the space: not checked again."""
        made = cls.__new__(cls)
        made.space, made._indices, made._digest = space, indices, None
        return made

    def __getitem__(self, key: str) -> Choice:
        return Choice(self.space[key], self._indices[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __contains__(self, key: object) -> bool:
        return key in self._indices

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Architecture):
            return self._indices == other._indices
        return self.to_dict() == other

    def __repr__(self) -> str:
        return f"Architecture({', '.join(f'{key}={self[key].value!r}' for key in self)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Architecture, (self.space, self.to_dict())

    @property
    def indices(self) -> Mapping[str, Indices]:
        """Key to the indices of the candidates picked, ascending; read-only."""
        return MappingProxyType(self._indices)

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that depend on the choices alone and are the same on every machine.

        The start of SHA-256 over a line ``key TAB indices NEWLINE`` for each active key, sorted; indices are decimal and
        joined with commas.
        """
        if self._digest is None:
            lines = (f"{key}\t{','.join(map(str, self._indices[key]))}\n" for key in sorted(self._indices))
            self._digest = hashlib.sha256("".join(lines).encode()).hexdigest()[:32]
        return self._digest

    def to_dict(self) -> dict[str, Any]:
        """Fresh plain dicts and lists, as in JSON."""
        return {key: self[key].to_dict() for key in self._indices}

    def to_json(self) -> str:
        """The JSON document, with a newline at the end."""
        return write_document(self.to_dict())

    def save(self, path: str | Path) -> None:
        """Write the JSON document to a file."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def from_dict(cls, space: SearchSpace, choices: Mapping[str, Any]) -> Architecture:
        """Read an architecture of ``space`` from plain dicts and lists.

        Read leniently: ``_idex`` for ``_idx``, either of ``_value`` and ``_idx`` alone, a bare value for a ``choice``.

        Raises:
            ArchitectureError: it does not fit the space; the message names the key, what was found and expected.
        """
        if isinstance(choices, Architecture) and choices.space is space:
            return choices
        return cls(space, choices.to_dict() if isinstance(choices, Architecture) else choices)

    @classmethod
    def from_json(cls, space: SearchSpace, text: str | bytes) -> Architecture:
        """Read a JSON document; see ``from_dict``."""
        return cls(space, parse_document(text, ArchitectureError))

    @classmethod
    def load(cls, space: SearchSpace, path: str | Path) -> Architecture:
        """Read the JSON document in a file; see ``from_dict``."""
        return cls.from_json(space, Path(path).read_bytes())

    @classmethod
    def from_export(cls, space: SearchSpace, exported: Mapping[str, Any]) -> Architecture:
        """Read what was once saved from a mutator's ``export()``: key to a mask over the candidates.

        Args:
            space: the search space.
            exported: key to a sequence of booleans or of zeros and ones, one for each candidate. Inactive keys may be
                there and are left out.

        Raises:
            ArchitectureError: a mask has another length, is neither zeros nor ones, or selects a wrong number.
        """
        choices = {key: {"_idx": _read_mask(space, key, mask)} for key, mask in exported.items() if key in space}
        unknown = [key for key in exported if key not in space]
        if unknown:
            raise ArchitectureError(f"key {unknown[0]!r} is not in the search space; it has {_some(space)}")
        indices = {key: (at,) if isinstance(at := entry["_idx"], int) else tuple(at) for key, entry in choices.items()}
        return cls(space, {key: entry for key, entry in choices.items() if space.is_active(key, indices)})


def _read(space: SearchSpace, choices: Mapping[str, Any]) -> dict[str, Indices]:
    if not isinstance(choices, Mapping):
        raise ArchitectureError(f"an architecture is a mapping from key to choice; found {type(choices).__name__}")
    for key in choices:
        if key not in space:
            raise ArchitectureError(f"key {key!r} is not in the search space; it has {_some(space)}")
    indices = {key: _read_choice(space[key], choices[key]) for key in space if key in choices}
    for key, domain in space.items():
        active = not domain.when or space.is_active(key, indices)
        if active and key not in indices:
            raise ArchitectureError(f"key {key!r} is missing; expected one of {_some(domain.candidates)}")
        if not active and key in indices:
            conditions = {parent: list(at) for parent, at in domain.when.items()}
            raise ArchitectureError(f"key {key!r} is there but not active; it is active only when {conditions}")
    return indices


def _read_choice(domain: Domain, entry: Any) -> Indices:
    key = domain.key
    if not isinstance(entry, Mapping):
        if domain.kind != CHOICE:
            raise ArchitectureError(f"key {key!r}: found {entry!r}; expected an object with _value and _idx")
        entry = {"_value": entry}
    unknown = [field for field in entry if field not in ("_value", "_idx", "_idex")]
    if unknown or not entry or {"_idx", "_idex"} <= set(entry):
        raise ArchitectureError(f"key {key!r}: found the fields {list(entry)}; expected _value and _idx")
    index = entry.get("_idx", entry.get("_idex"))
    if index is None:
        return _from_values(domain, entry.get("_value"))
    indices = _listed(domain, index, "_idx")
    for at in indices:
        if type(at) is not int or not 0 <= at < len(domain.candidates):
            raise ArchitectureError(f"key {key!r}: _idx is {index!r}; expected 0 to {len(domain.candidates) - 1}")
    if "_value" in entry:
        values = _listed(domain, entry["_value"], "_value")
        if values != [domain.candidates[at] for at in indices]:
            named = [domain.candidates[at] for at in indices]
            raise ArchitectureError(f"key {key!r}: _value is {entry['_value']!r}, but _idx {index!r} means {named}")
    return _counted(domain, indices)


def _from_values(domain: Domain, value: Any) -> Indices:
    indices = []
    for name in _listed(domain, value, "_value"):
        at = [i for i, candidate in enumerate(domain.candidates) if candidate == name]
        if not at:
            raise ArchitectureError(f"key {domain.key!r}: {name!r} is no candidate; expected one of {_some(domain.candidates)}")
        if len(at) > 1:
            raise ArchitectureError(f"key {domain.key!r}: {name!r} names candidates {at}; give _idx to say which")
        indices.append(at[0])
    return _counted(domain, indices)


def _listed(domain: Domain, found: Any, field: str) -> list[Any]:
    if domain.kind != INPUT_CHOICE:
        return [found]
    if not isinstance(found, list | tuple):
        raise ArchitectureError(f"key {domain.key!r}: {field} is {found!r}; expected a list, since it chooses inputs")
    return list(found)


def _counted(domain: Domain, indices: list[int]) -> Indices:
    if len(set(indices)) != len(indices):
        raise ArchitectureError(f"key {domain.key!r}: inputs {indices} are repeated; each may be chosen once")
    if domain.n_chosen is not None and len(indices) != domain.n_chosen:
        raise ArchitectureError(f"key {domain.key!r}: {len(indices)} inputs chosen; expected {domain.n_chosen}")
    return tuple(sorted(indices))


def _read_mask(space: SearchSpace, key: str, mask: Any) -> int | list[int]:
    domain, entries = space[key], mask.tolist() if hasattr(mask, "tolist") else mask
    n = len(domain.candidates)
    if not isinstance(entries, list | tuple) or len(entries) != n or any(entry not in (0, 1) for entry in entries):
        raise ArchitectureError(f"key {key!r}: found {mask!r}; expected a mask of {n} booleans, or of zeros and ones")
    picked = [index for index, entry in enumerate(entries) if entry]
    if domain.kind == INPUT_CHOICE:
        return picked
    if len(picked) != 1:
        raise ArchitectureError(f"key {key!r}: the mask selects {len(picked)} candidates; expected exactly one")
    return picked[0]


def _some(names: Any, limit: int = 8) -> str:
    listed = list(names)
    return ", ".join(map(repr, listed[:limit])) + (f" and {len(listed) - limit} more" if len(listed) > limit else "")
