"""The forest that the ``_when`` of a search space form: who is active under whom, and how many ways there are.

A key hangs under its nearest ancestor, and is active exactly when that ancestor is active and picks one of the given
indices. So a key's number of ways is a sum over its options of the product over the children active there, and
sampling, numbering and enumeration are linear in the number of keys.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random

from raynas.errors import SpaceError
from raynas.space.domain import INPUT_CHOICE, Domain, Indices
from raynas.space.generator import below
from raynas.space.messages import brief

Ways = dict[str, Indices]
MAX_BITS = 50_000_000  # of all numbers that are multiplied to count a space: beyond it, counting takes many seconds


class Forest:
    """Domains by their conditions.

    Attributes:
        roots: keys that are always active, in the order of the space.
        order: every key, parents before their children.
        flat: whether every key is a root.
    """

    def __init__(self, domains: Mapping[str, Domain]) -> None:
        self._domains = domains
        self.roots = [key for key, domain in domains.items() if not domain.when]
        self.flat = len(self.roots) == len(domains)
        self.order = sorted(domains, key=lambda key: len(domains[key].when))  # stable: roots keep their order
        self._children: dict[str, list[list[str]]] = {}
        for key in self.order:
            if domains[key].when:
                self._hang(key)
        self._ways: dict[str, int] = {}
        self._ways_at: dict[str, list[int]] = {}
        self._num_bits = 0
        for key in reversed(self.order):
            self._count(key)

    def _hang(self, key: str) -> None:
        when = self._domains[key].when
        for ancestor, indices in when.items():
            self._check_ancestor(key, ancestor, indices)
        nearest = max(when, key=lambda ancestor: len(self._domains[ancestor].when))
        above = {ancestor: at for ancestor, at in when.items() if ancestor != nearest}
        if above != self._domains[nearest].when:
            raise SpaceError(
                f"key {key!r}: _when must repeat the conditions of its parent {nearest!r} and add one on it; "
                f"found {brief(above)}, expected {brief(dict(self._domains[nearest].when))}"
            )
        if nearest not in self._children:
            self._children[nearest] = [[] for _ in self._domains[nearest].candidates]
        children = self._children[nearest]
        for index in when[nearest]:
            children[index].append(key)

    def _check_ancestor(self, key: str, ancestor: str, indices: Indices) -> None:
        parent = self._domains.get(ancestor)
        if parent is None or ancestor == key:
            raise SpaceError(f"key {key!r}: _when names {ancestor!r}, which is not another key of the space")
        if parent.kind == INPUT_CHOICE:
            raise SpaceError(f"key {key!r}: _when names the input choice {ancestor!r}; only a pick of one can be a parent")
        last = len(parent.candidates) - 1
        if indices[0] < 0 or indices[-1] > last:
            raise SpaceError(f"key {key!r}: _when[{ancestor!r}] is {brief(list(indices))}; expected 0 to {last}")

    def _count(self, key: str) -> None:
        below_key = self._children.get(key)
        if below_key is None:
            self._ways[key] = self._domains[key].num_options
            return
        groups = [tuple(children) for children in below_key]
        counts = Counter(groups)  # candidates that make the same keys active are counted once
        ways = {children: self._together(key, children) for children in counts}
        self._ways_at[key] = [ways[children] for children in groups]
        # The largest last: adding to a huge number again and again would be quadratic.
        self._ways[key] = sum(sorted(number * counts[children] for children, number in ways.items()))

    def _together(self, key: str, children: tuple[str, ...]) -> int:
        numbers = [self._ways[child] for child in children]
        self._num_bits += sum(number.bit_length() for number in numbers)
        if self._num_bits > MAX_BITS:
            raise SpaceError(
                f"key {key!r}: counting what its {len(self._domains[key].candidates)} candidates make active takes numbers of "
                f"more than {MAX_BITS:,} bits in all; expected fewer candidates, or fewer options of the keys under them"
            )
        return product(numbers)

    def is_active(self, key: str, choices: Mapping[str, Indices]) -> bool:
        """Whether all ancestors of ``key`` pick, in ``choices``, what makes it active."""
        for parent, at in self._domains[key].when.items():
            picked = choices.get(parent)
            if picked is None or picked[0] not in at:
                return False
        return True

    def ways(self, key: str) -> int:
        """How many ways there are to choose for ``key`` and all below it, given that it is active."""
        return self._ways[key]

    def is_parent(self, key: str) -> bool:
        """Whether what ``key`` picks decides which other keys are active."""
        return key in self._children

    def children(self, key: str, indices: Indices) -> list[str]:
        """The keys that become active when ``key`` picks ``indices``."""
        below = self._children.get(key)
        return below[indices[0]] if below is not None else []

    def unrank(self, key: str, number: int, into: Ways) -> None:
        """Write way ``number`` of ``key`` and all below it into ``into``; 0 <= number < ways(key)."""
        stack = [(key, number)]
        while stack:
            key, number = stack.pop()
            if key not in self._children:
                into[key] = self._domains[key].option(number)
                continue
            index, number = self._pick(key, number)
            into[key] = (index,)
            for child in self._children[key][index]:
                number, rest = divmod(number, self._ways[child])
                stack.append((child, rest))

    def sample(self, key: str, rng: Random, into: Ways) -> None:
        """Write a way of ``key`` and all below it into ``into``, each way with the same probability."""
        stack = [key]
        while stack:  # one draw for each key: dividing one huge number by the ways of each is quadratic
            key = stack.pop()
            number = below(rng, self._ways[key])
            if key not in self._children:
                into[key] = self._domains[key].option(number)
                continue
            index, _ = self._pick(key, number)
            into[key] = (index,)
            stack += self._children[key][index]

    def complete(self, into: Ways, sources: Sequence[Mapping[str, Indices]], rng: Random | None) -> Ways:
        """Fill in every key that ``into`` leaves open and that is active there.

        From one of the sources at random where several have the key, from the one that has it, and else drawn with all
        below it; without a generator, from the first that has it, and else way 0.
        """
        for key in self.order:
            if key in into or not (self.flat or self.is_active(key, into)):
                continue
            options = [source[key] for source in sources if key in source]
            if options:
                into[key] = options[below(rng, len(options)) if rng is not None and len(options) > 1 else 0]
            elif rng is not None:
                self.sample(key, rng, into)
            else:
                self.unrank(key, 0, into)
        return into

    def _pick(self, key: str, number: int) -> tuple[int, int]:
        """Which candidate of ``key`` way ``number`` picks, and the number that is left for the keys below."""
        for index, ways in enumerate(self._ways_at[key]):
            if number < ways:
                return index, number
            number -= ways
        raise AssertionError(f"key {key!r} has no way of that number")


def product(factors: Sequence[int]) -> int:
    """The product, in halves: multiplying thousands of huge integers one by one would be quadratic."""
    if len(factors) < 100:
        return math.prod(factors)
    return product(factors[: len(factors) // 2]) * product(factors[len(factors) // 2 :])
