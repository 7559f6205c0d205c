"""What makes one search space different from another, key by key: for the messages of whoever compares two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raynas.space.domain import Candidate, Domain, Indices
from raynas.space.messages import brief, some

Conditions = tuple[tuple[str, Indices], ...]


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One thing about a key that is not the same in two spaces.

    Attributes:
        key: the key.
        what: ``"kind"``, ``"candidates"``, ``"n_chosen"`` or ``"when"``: an attribute of ``Domain``.
        before: what it is in the one space; of ``when``, pairs of ancestor and indices, sorted.
        after: what it is in the other.
    """

    key: str
    what: str
    before: Any
    after: Any

    def __str__(self) -> str:
        if self.what == "candidates":
            return f"key {self.key!r}: candidates {_compare(self.before, self.after)}"
        show = _show_conditions if self.what == "when" else brief
        return f"key {self.key!r}: {self.what} {show(self.before)}, now {show(self.after)}"


@dataclass(frozen=True, slots=True)
class SpaceDifference:
    """What ``SearchSpace.diff`` found; truthy where there is a difference. As text, a line for each.

    The order of the keys is no difference, as it is none to ``==``.

    Attributes:
        added: keys that only the other space has, in its order.
        removed: keys that only this space has, in its order.
        changed: what is different about the keys of both, in the order of this space.

    Example:
        >>> from raynas import SearchSpace
        >>> before = SearchSpace({"op": {"_type": "layer_choice", "_value": ["conv", "pool"]}})
        >>> after = SearchSpace({"op": {"_type": "layer_choice", "_value": ["conv"]}})
        >>> [change.what for change in before.diff(after).changed]
        ['candidates']
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[KeyChange, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        lines = [f"key {key!r}: removed" for key in self.removed]
        lines += [f"key {key!r}: added" for key in self.added]
        return "\n".join([*lines, *map(str, self.changed)]) or "no difference"


def difference(before: Mapping[str, Domain], after: Mapping[str, Domain]) -> SpaceDifference:
    """Compare two spaces; see ``SearchSpace.diff``."""
    return SpaceDifference(
        added=tuple(key for key in after if key not in before),
        removed=tuple(key for key in before if key not in after),
        changed=tuple(change for key, domain in before.items() if key in after for change in _changes(domain, after[key])),
    )


def _changes(before: Domain, after: Domain) -> list[KeyChange]:
    pairs = {what: (getattr(before, what), getattr(after, what)) for what in ("kind", "candidates", "n_chosen")}
    pairs["when"] = (_conditions(before), _conditions(after))
    return [KeyChange(before.key, what, one, other) for what, (one, other) in pairs.items() if one != other]


def _conditions(domain: Domain) -> Conditions:
    return tuple(sorted(domain.when.items()))


def _show_conditions(conditions: Conditions) -> str:
    return brief({parent: list(at) for parent, at in conditions}) if conditions else "always"


def _compare(before: tuple[Candidate, ...], after: tuple[Candidate, ...]) -> str:
    gone, new = Counter(before) - Counter(after), Counter(after) - Counter(before)
    parts = [f"{some(list(counts.elements()))} {verb}" for counts, verb in ((gone, "removed"), (new, "added")) if counts]
    return ", ".join(parts) or f"in another order: {brief(list(before))}, now {brief(list(after))}"
