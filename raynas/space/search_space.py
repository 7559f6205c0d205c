"""``SearchSpace``: every key with its candidates; how to count, sample, vary and list its architectures."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from raynas.errors import ArchitectureError, SpaceError
from raynas.space.architecture import Architecture
from raynas.space.conditions import Forest, below
from raynas.space.document import parse_document, write_document
from raynas.space.domain import INPUT_CHOICE, Domain, Indices


class SearchSpace(Mapping[str, Domain]):
    """What can vary: an immutable Mapping from key to ``Domain``.

    Args:
        document: the JSON document as dicts and lists, ``{key: {"_type": ..., "_value": ..., "_when": ...}}``.

    Raises:
        SpaceError: the document is wrong; the message names the key, what was found and what was expected.

    Example:
        >>> space = SearchSpace({"width": {"_type": "choice", "_value": [16, 24, 32]}})
        >>> space.size
        3
        >>> space["width"].candidates
        (16, 24, 32)
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        if not isinstance(document, Mapping):
            raise SpaceError(f"a search space is made from a mapping; found {type(document).__name__}")
        if not document:
            raise SpaceError("the search space has no keys; a model needs at least one mutable to search")
        for key in document:
            _check_key(key)
        self._domains = {key: Domain(key, entry) for key, entry in document.items()}
        self._forest = Forest(self._domains)
        self._position = {key: i for i, key in enumerate(self._domains)}
        self._flat = len(self._forest.roots) == len(self._domains)

    def __getitem__(self, key: str) -> Domain:
        return self._domains[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)

    def __hash__(self) -> int:
        return hash(tuple(self._domains))

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == (other.to_dict() if isinstance(other, SearchSpace) else other)

    def __repr__(self) -> str:
        return f"SearchSpace({len(self)} keys: {', '.join(list(self)[:5])}{', ...' if len(self) > 5 else ''})"

    def __reduce__(self) -> tuple[Any, ...]:
        return SearchSpace, (self.to_dict(),)

    # --- documents -------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Fresh plain dicts and lists, as in JSON."""
        return {key: domain.to_dict() for key, domain in self._domains.items()}

    def to_json(self) -> str:
        """The JSON document, with a newline at the end."""
        return write_document(self.to_dict())

    @classmethod
    def from_json(cls, text: str | bytes) -> SearchSpace:
        """Read a JSON document. Raises ``SpaceError`` naming the key that is wrong."""
        return cls(parse_document(text, SpaceError))

    def save(self, path: str | Path) -> None:
        """Write the JSON document to a file."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> SearchSpace:
        """Read the JSON document in a file."""
        return cls.from_json(Path(path).read_bytes())

    # --- what is in it ---------------------------------------------------------------------------------------------

    @cached_property
    def size(self) -> int:
        """How many architectures there are, exactly."""
        factors = [self._forest.ways(key) for key in self._forest.roots]
        while len(factors) > 1:  # a balanced product: linear multiplication of huge integers would be quadratic
            factors = [a * b for a, b in zip(factors[::2], [*factors[1::2], 1], strict=False)]
        return factors[0]

    def validate(self, architecture: Mapping[str, Any]) -> Architecture:
        """Read an architecture of this space. Raises ``ArchitectureError`` naming the key that is wrong."""
        return Architecture.from_dict(self, architecture)

    def contains(self, architecture: Mapping[str, Any]) -> bool:
        """Whether ``validate`` accepts it."""
        try:
            self.validate(architecture)
        except ArchitectureError:
            return False
        return True

    def is_active(self, key: str, choices: Mapping[str, Indices]) -> bool:
        """Whether ``key`` is active under ``choices`` (key to indices)."""
        return all(parent in choices and choices[parent][0] in at for parent, at in self._domains[key].when.items())

    # --- drawing from it -------------------------------------------------------------------------------------------

    def unrank(self, number: int) -> Architecture:
        """Architecture ``number`` of the space, 0 <= number < size. The numbering never changes for one space.

        Raises:
            IndexError: the number is out of range.
        """
        if not 0 <= number < self.size:
            raise IndexError("the number of an architecture is at least 0 and below the size of its space")
        into: dict[str, Indices] = {}
        for key in reversed(self._forest.roots):  # the last key varies fastest
            number, rest = divmod(number, self._forest.ways(key))
            self._forest.unrank(key, rest, into)
        return self._trusted(into)

    def enumerate(self) -> Iterator[Architecture]:
        """Every architecture once, lazily, by number."""
        return (self.unrank(number) for number in range(self.size))

    def sample(self, rng: Random) -> Architecture:
        """One architecture, each with the same probability."""
        into: dict[str, Indices] = {}
        for key in self._forest.roots:
            self._forest.sample(key, rng, into)
        return self._trusted(into)

    def mutate(self, architecture: Architecture, rng: Random) -> Architecture:
        """Change one active key, drawn uniformly among those that have another option; never returns its argument.

        An operator or a value is replaced by another one; of an input choice one input is swapped, or, where any number
        may be chosen, added or removed. Keys that become active are sampled.

        Raises:
            SpaceError: the architecture has no key with a second option.
        """
        choices = architecture.indices
        able = [key for key in choices if self._domains[key].num_options > 1]
        if not able:
            raise SpaceError("nothing to mutate: every active key has a single option")
        key = able[below(rng, len(able))]
        into = {key: _another(self._domains[key], choices[key], rng)}
        return self._complete(into, (choices,), rng)

    def crossover(self, mother: Architecture, father: Architecture, rng: Random) -> Architecture:
        """Each key from one of the two at random, where both have it active; else from the one, else sampled."""
        return self._complete({}, (mother.indices, father.indices), rng)

    def _complete(self, into: dict[str, Indices], sources: tuple[Mapping[str, Indices], ...], rng: Random) -> Architecture:
        for key in self._forest.order:
            if key in into or not (self._flat or self.is_active(key, into)):
                continue
            options = [source[key] for source in sources if key in source]
            if len(options) > 1:
                into[key] = options[below(rng, len(options))]
            elif options:
                into[key] = options[0]
            else:
                self._forest.sample(key, rng, into)
        return self._trusted(into)

    def _trusted(self, choices: dict[str, Indices]) -> Architecture:
        if not self._flat or len(choices) != len(self._domains) or next(iter(choices)) != next(iter(self._domains)):
            choices = {key: choices[key] for key in sorted(choices, key=self._position.__getitem__)}
        return Architecture.trusted(self, choices)


def _another(domain: Domain, indices: Indices, rng: Random) -> Indices:
    n = len(domain.candidates)
    if domain.kind != INPUT_CHOICE:
        drawn = below(rng, n - 1)
        return (drawn + (drawn >= indices[0]),)
    picked = set(indices)
    if domain.n_chosen is None:
        return tuple(sorted(picked ^ {below(rng, n)}))
    out = indices[below(rng, len(indices))]
    others = [i for i in range(n) if i not in picked]
    return tuple(sorted(picked - {out} | {others[below(rng, len(others))]}))


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not key:
        raise SpaceError(f"key {key!r}: keys are strings of at least one character")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in key):
        raise SpaceError(f"key {key!r}: keys may not hold control characters or lone surrogates")
