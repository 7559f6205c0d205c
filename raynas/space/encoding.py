"""Architectures as vectors of zeros and ones, for predictors and distances: an entry for every candidate of every key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from raynas.space.domain import Domain, Indices


class Encoding:
    """How one search space is laid out.

    Attributes:
        names: what each entry says, ``key=candidate``.
    """

    def __init__(self, domains: Mapping[str, Domain]) -> None:
        self.names = tuple(name for domain in domains.values() for name in _names(domain))
        self._offsets: dict[str, int] = {}
        offset = 0
        for key, domain in domains.items():
            self._offsets[key] = offset
            offset += len(domain.candidates)

    def encode(self, choices: Mapping[str, Indices]) -> list[float]:
        """One where a candidate is picked, else zero. ``choices`` are of this space."""
        vector = [0.0] * len(self.names)
        for key, indices in choices.items():
            offset = self._offsets[key]
            for index in indices:
                vector[offset + index] = 1.0
        return vector


def _names(domain: Domain) -> list[str]:
    names = [str(candidate) for candidate in domain.candidates]
    counts = Counter(names)
    return [
        f"{domain.key}={name}" if counts[name] == 1 else f"{domain.key}={name}[{index}]" for index, name in enumerate(names)
    ]
