"""``SearchSpace``: every key with its candidates; how to count, sample, vary and list its architectures."""

from __future__ import annotations

import unicodedata
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from raynas.errors import ArchitectureError, SpaceError
from raynas.space.architecture import Architecture
from raynas.space.conditions import Forest, product
from raynas.space.difference import SpaceDifference, difference
from raynas.space.document import parse_document, write_document
from raynas.space.domain import INPUT_CHOICE, Domain, Indices
from raynas.space.encoding import Encoding
from raynas.space.generator import below
from raynas.space.immutable import Immutable, put


class SearchSpace(Immutable, Mapping[str, Domain]):
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

    _domains: dict[str, Domain]
    _forest: Forest
    _position: dict[str, int]

    def __init__(self, document: Mapping[str, Any]) -> None:
        if not isinstance(document, Mapping):
            raise SpaceError(f"a search space is made from a mapping; found {type(document).__name__}")
        if not document:
            raise SpaceError("the search space has no keys; a model needs at least one mutable to search")
        for key in document:
            _check_key(key)
        domains = {key: Domain(key, entry) for key, entry in document.items()}
        forest = Forest(domains)
        put(self, "_domains", domains)
        put(self, "_forest", forest)
        put(self, "_position", {key: i for i, key in enumerate(domains)})

    def __getitem__(self, key: str) -> Domain:
        return self._domains[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)

    # What Mapping brings calls __getitem__ for each key; these are the dict's own, many times faster.

    def __contains__(self, key: object) -> bool:
        return key in self._domains

    def keys(self) -> KeysView[str]:
        """The keys, in the order of the document."""
        return self._domains.keys()

    def values(self) -> ValuesView[Domain]:
        """The domains, in the order of the document."""
        return self._domains.values()

    def items(self) -> ItemsView[str, Domain]:
        """The keys and their domains, in the order of the document."""
        return self._domains.items()

    def __hash__(self) -> int:
        return hash(frozenset(self._domains))

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
        return product([self._forest.ways(key) for key in self._forest.roots])

    @property
    def encoding_names(self) -> tuple[str, ...]:
        """What each entry of ``encode`` says, such as ``"conv1=conv3x3"``.

        Where candidates of one key have one name, the index follows: ``"conv1=skip[2]"``.
        """
        return self._encoding.names

    def diff(self, other: SearchSpace) -> SpaceDifference:
        """What makes ``other`` another space than this one; falsy exactly where the two are equal.

        Args:
            other: the space to compare with; what only it has counts as added.

        Example:
            >>> before = SearchSpace({"width": {"_type": "choice", "_value": [16, 24]}})
            >>> after = SearchSpace({"width": {"_type": "choice", "_value": [16, 32]}})
            >>> print(before.diff(after))
            key 'width': candidates 24 removed, 32 added
            >>> bool(before.diff(before))
            False
        """
        return difference(self, other)

    def validate(self, architecture: Mapping[str, Any]) -> Architecture:
        """Read an architecture of this space. Raises ``ArchitectureError`` naming the key that is wrong."""
        return Architecture.from_dict(self, architecture)

    def contains(self, architecture: Mapping[str, Any]) -> bool:
        """Whether ``validate`` accepts it: an architecture of this or of another space, or a plain mapping.

        (``in`` is about keys: a space is a Mapping from key to ``Domain``.)

        Example:
            >>> space = SearchSpace({"width": {"_type": "choice", "_value": [16, 24, 32]}})
            >>> space.contains({"width": 24}), space.contains({"width": 25}), "width" in space
            (True, False, True)
        """
        try:
            self.validate(architecture)
        except ArchitectureError:
            return False
        return True

    def is_active(self, key: str, choices: Mapping[str, Indices]) -> bool:
        """Whether ``key`` is active under ``choices`` (key to indices)."""
        return self._forest.is_active(key, choices)

    def encode(self, architecture: Mapping[str, Any]) -> list[float]:
        """The architecture as zeros and ones, of one length for all of a space: one-hot, multi-hot for input choices.

        An entry for every candidate of every key, in the order of the space (``encoding_names``); zeros for an inactive key.
        Different architectures have different vectors: whether a key is active follows from the entries of its ancestors, so
        the zeros of an inactive input choice and of one that picks nothing are told apart.

        Raises:
            ArchitectureError: it is no architecture of this space.

        Example:
            >>> space = SearchSpace({"op": {"_type": "layer_choice", "_value": ["conv", "pool"]}})
            >>> space.encode(space.validate({"op": {"_value": "pool"}}))
            [0.0, 1.0]
            >>> space.encoding_names
            ('op=conv', 'op=pool')
        """
        return self._encoding.encode(self.validate(architecture).indices)

    @cached_property
    def _encoding(self) -> Encoding:
        return Encoding(self._domains)

    # --- drawing from it -------------------------------------------------------------------------------------------

    def unrank(self, number: int) -> Architecture:
        """Architecture ``number`` of the space, 0 <= number < size. The numbering never changes for one space.

        Raises:
            IndexError: the number is out of range.
        """
        if not 0 <= number < self.size:
            raise IndexError("the number of an architecture is at least 0 and below the size of its space")
        into: dict[str, Indices] = dict.fromkeys(self._domains, ()) if self._forest.flat else {}
        for key, ways, is_plain in self._digits:
            number, rest = divmod(number, ways)
            if is_plain:
                into[key] = (rest,)
            else:
                self._forest.unrank(key, rest, into)
        return self._trusted(into)

    @cached_property
    def _digits(self) -> list[tuple[str, int, bool]]:
        """Of the number of an architecture: key, base, whether the digit is the index. The last key varies fastest."""
        forest, domains = self._forest, self._domains
        plain = {key: not forest.is_parent(key) and domains[key].kind != INPUT_CHOICE for key in forest.roots}
        return [(key, forest.ways(key), plain[key]) for key in reversed(forest.roots)]

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

        It is changed by one step (``Domain.neighbours``). Keys that become active are sampled.

        Raises:
            SpaceError: the architecture has no key with a second option.
        """
        choices = architecture.indices
        able = [key for key in choices if self._domains[key].num_options > 1]
        if not able:
            raise SpaceError("nothing to mutate: every active key has a single option")
        key = able[below(rng, len(able))]
        into = {key: self._domains[key].step(choices[key], rng)}
        return self._trusted(self._forest.complete(into, (choices,), rng))

    def crossover(self, mother: Architecture, father: Architecture, rng: Random) -> Architecture:
        """Each key from one of the two at random, where both have it active; else from the one, else sampled."""
        return self._trusted(self._forest.complete({}, (mother.indices, father.indices), rng))

    def neighbours(self, architecture: Mapping[str, Any]) -> Iterator[Architecture]:
        """Every architecture that differs in the choice of exactly one active key, lazily, each once, never itself.

        The choice differs by one step: another candidate; of an input choice one input swapped for another, or, where any
        number may be chosen, one added or removed. Keys that stay active keep their choice, keys that become inactive are
        dropped, and keys that become active take option 0, as do those that this makes active: so there is one neighbour for
        each step of each key, in the order of the space. (Where there are conditions, the way back from a neighbour may
        therefore lead elsewhere.)

        Raises:
            ArchitectureError: it is no architecture of this space.

        Example:
            >>> space = SearchSpace({"op": {"_type": "layer_choice", "_value": ["conv", "pool", "skip"]}})
            >>> list(space.neighbours(space.validate({"op": {"_value": "pool"}})))
            [Architecture(op='conv'), Architecture(op='skip')]
        """
        choices = self.validate(architecture).indices  # now, not when the first neighbour is asked for
        return (
            self._moved(choices, key, option)
            for key, indices in choices.items()
            for option in self._domains[key].neighbours(indices)
        )

    def _moved(self, choices: Mapping[str, Indices], key: str, option: Indices) -> Architecture:
        if self._forest.is_parent(key):
            return self._trusted(self._forest.complete({key: option}, (choices,), None))
        return Architecture.trusted(self, {**choices, key: option})

    def _trusted(self, choices: dict[str, Indices]) -> Architecture:
        if not self._forest.flat or len(choices) != len(self._domains) or next(iter(choices)) != next(iter(self._domains)):
            choices = {key: choices[key] for key in sorted(choices, key=self._position.__getitem__)}
        return Architecture.trusted(self, choices)


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not key:
        raise SpaceError(f"key {key!r}: keys are strings of at least one character")
    if key.isascii() and key.isprintable():  # most are
        return
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in key):
        raise SpaceError(f"key {key!r}: keys may not hold control characters or lone surrogates")
