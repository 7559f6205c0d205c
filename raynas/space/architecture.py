"""``Architecture``: a choice for every active key of a search space."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from raynas.errors import ArchitectureError
from raynas.space.document import parse_document, write_document
from raynas.space.domain import INPUT_CHOICE, Candidate, Domain, Indices
from raynas.space.immutable import Immutable, put
from raynas.space.reading import read_choices, read_masks

if TYPE_CHECKING:
    from raynas.space.search_space import SearchSpace


class Choice(Immutable, Mapping[str, Any]):
    """What an architecture picks for one key. Immutable; as a Mapping it reads like its JSON (``_value``, ``_idx``).

    Attributes:
        value: the name or value of the candidate; a tuple of names for an input choice.
        indices: the indices of the candidates, ascending.
    """

    __slots__ = ("indices", "value")

    value: Candidate | tuple[Candidate, ...]
    indices: Indices

    def __init__(self, domain: Domain, indices: Indices) -> None:
        candidates = domain.candidates
        several = domain.kind == INPUT_CHOICE
        put(self, "value", tuple(candidates[index] for index in indices) if several else candidates[indices[0]])
        put(self, "indices", indices)

    @classmethod
    def _restored(cls, value: Candidate | tuple[Candidate, ...], indices: Indices) -> Choice:
        made = cls.__new__(cls)
        put(made, "value", value)
        put(made, "indices", indices)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Choice._restored, (self.value, self.indices)

    def __getitem__(self, field: str) -> Any:
        if field == "_value":
            return self.value
        if field == "_idx":
            return self.indices if isinstance(self.value, tuple) else self.indices[0]
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


class Architecture(Immutable, Mapping[str, Choice]):
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

    space: SearchSpace
    _indices: dict[str, Indices]
    _digest: str | None

    def __init__(self, space: SearchSpace, choices: Mapping[str, Any]) -> None:
        put(self, "space", space)
        put(self, "_indices", read_choices(space, choices))
        put(self, "_digest", None)

    @classmethod
    def trusted(cls, space: SearchSpace, indices: dict[str, Indices]) -> Architecture:
        """From indices that the space itself made, in the order of the space: not checked again."""
        made = cls.__new__(cls)
        put(made, "space", space)
        put(made, "_indices", indices)
        put(made, "_digest", None)
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
            chosen = self._indices
            lines = [
                # most keys pick one: three times faster without the join
                f"{key}\t{at[0]}\n" if len(at := chosen[key]) == 1 else f"{key}\t{','.join(map(str, at))}\n"
                for key in sorted(chosen)
            ]
            put(self, "_digest", hashlib.sha256("".join(lines).encode()).hexdigest()[:32])
        return cast("str", self._digest)

    def to_dict(self) -> dict[str, Any]:
        """Fresh plain dicts and lists, as in JSON."""
        return {key: self[key].to_dict() for key in self._indices}

    def to_json(self) -> str:
        """The JSON document, with a newline at the end."""
        return write_document(self.to_dict())

    def save(self, path: str | Path) -> None:
        """Write the JSON document to a file."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    def to_row(self) -> list[Any]:
        """The shortest form as JSON, which needs the space to be read: an entry for each of its keys, in their order.

        An index, a list of indices for an input choice, ``None`` where the key is not active.
        """
        chosen = self._indices
        if len(chosen) == len(self.space):
            return [at[0] if len(at) == 1 else list(at) for at in chosen.values()]
        return [None if at is None else at[0] if len(at) == 1 else list(at) for at in map(chosen.get, self.space)]

    @classmethod
    def from_row(cls, space: SearchSpace, row: Sequence[Any]) -> Architecture:
        """The inverse of ``to_row``.

        Raises:
            ArchitectureError: it does not fit the space.
        """
        if not isinstance(row, Sequence) or len(row) != len(space):
            raise ArchitectureError(f"found {row!r}; expected a list with an entry for each of {len(space)} keys")
        chosen = zip(space, row, strict=True)
        return cls.from_indices(space, {key: at if isinstance(at, list) else [at] for key, at in chosen if at is not None})

    @classmethod
    def from_indices(cls, space: SearchSpace, indices: Mapping[str, Sequence[int]]) -> Architecture:
        """From key to the indices picked, one for what is no input choice.

        Raises:
            ArchitectureError: they do not fit the space; the message names the key, what was found and expected.
        """
        several = {key for key in indices if key in space and space[key].kind == INPUT_CHOICE}
        return cls(space, {key: {"_idx": list(at) if key in several else _only(key, at)} for key, at in indices.items()})

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
        return cls(space, read_masks(space, exported))


def _only(key: str, indices: Sequence[int]) -> int:
    if len(indices) != 1:
        raise ArchitectureError(f"key {key!r}: found {len(indices)} indices; expected one")
    return indices[0]
