"""From plain dicts to the indices of an architecture: leniently, with errors that name the key.

What is well-formed is read by a loop that knows nothing else; only where that loop gives up does the careful reading
begin, which accepts more and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from raynas.errors import ArchitectureError
from raynas.space.domain import CHOICE, INPUT_CHOICE, Candidate, Domain, Indices
from raynas.space.messages import brief, some

if TYPE_CHECKING:
    from raynas.space.search_space import SearchSpace


def read_choices(space: SearchSpace, choices: Mapping[str, Any]) -> dict[str, Indices]:
    """The indices that an architecture document picks, in the order of the space.

    Raises:
        ArchitectureError: the document does not fit the space.
    """
    if type(choices) is dict:
        indices = _read_quickly(space, choices)
        if indices is not None:
            return indices
    return _read_carefully(space, choices)


def read_masks(space: SearchSpace, exported: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture document that masks over the candidates stand for; inactive keys are left out.

    Raises:
        ArchitectureError: a key is unknown, or a mask is none or selects a wrong number.
    """
    if not isinstance(exported, Mapping):
        raise ArchitectureError(f"an export is a mapping from key to mask; found {type(exported).__name__}")
    for key in exported:
        if key not in space:
            raise ArchitectureError(f"key {brief(key)} is not in the search space; it has {some(space)}")
    picked = {key: _read_mask(space[key], mask) for key, mask in exported.items()}
    indices = {key: (at,) if isinstance(at, int) else tuple(at) for key, at in picked.items()}
    return {key: {"_idx": at} for key, at in picked.items() if space.is_active(key, indices)}


def _read_quickly(space: SearchSpace, choices: dict[str, Any]) -> dict[str, Indices] | None:
    """The indices, where every entry is written as raynas writes it and every key is as it should be; else ``None``."""
    indices: dict[str, Indices] = {}
    conditional = []
    for key, domain in space.items():
        if domain.when:
            conditional.append(key)
            if key not in choices:
                continue
        entry = choices.get(key)
        if type(entry) is not dict or len(entry) != 2 or "_idx" not in entry or "_value" not in entry:
            return None
        index, candidates = entry["_idx"], domain.candidates
        if domain.kind == INPUT_CHOICE:
            picked = _inputs_quickly(domain, index, entry["_value"])
            if picked is None:
                return None
            indices[key] = picked
        elif type(index) is int and 0 <= index < len(candidates) and entry["_value"] == candidates[index]:
            indices[key] = (index,)
        else:
            return None
    if len(indices) != len(choices):
        return None
    for key in conditional:
        if space.is_active(key, indices) != (key in indices):
            return None
    return indices


def _inputs_quickly(domain: Domain, indices: Any, values: Any) -> Indices | None:
    if type(indices) is not list or type(values) is not list or len(indices) != len(values):
        return None
    if domain.n_chosen is not None and domain.n_chosen != len(indices):
        return None
    candidates, last = domain.candidates, -1
    for index, value in zip(indices, values, strict=True):
        if type(index) is not int or not last < index < len(candidates) or value != candidates[index]:
            return None
        last = index
    return tuple(indices)


def _read_carefully(space: SearchSpace, choices: Mapping[str, Any]) -> dict[str, Indices]:
    if not isinstance(choices, Mapping):
        raise ArchitectureError(f"an architecture is a mapping from key to choice; found {type(choices).__name__}")
    for key in choices:
        if key not in space:
            raise ArchitectureError(f"key {brief(key)} is not in the search space; it has {some(space)}")
    indices = {key: _read_choice(domain, choices[key]) for key, domain in space.items() if key in choices}
    for key, domain in space.items():
        active = space.is_active(key, indices)
        if active and key not in indices:
            raise ArchitectureError(f"key {key!r} is missing; expected one of {some(domain.candidates)}")
        if not active and key in indices:
            conditions = {parent: list(at) for parent, at in domain.when.items()}
            raise ArchitectureError(f"key {key!r} is there but not active; it is active only when {brief(conditions)}")
    return indices


def _read_choice(domain: Domain, entry: Any) -> Indices:
    key = domain.key
    if not isinstance(entry, Mapping):
        if domain.kind != CHOICE:
            raise ArchitectureError(f"key {key!r}: found {brief(entry)}; expected an object with _value and _idx")
        entry = {"_value": entry}
    unknown = [field for field in entry if field not in ("_value", "_idx", "_idex")]
    if unknown or not entry or {"_idx", "_idex"} <= set(entry):
        raise ArchitectureError(f"key {key!r}: found the fields {brief(list(entry))}; expected _value and _idx")
    index = entry.get("_idx", entry.get("_idex"))
    if index is None:
        return _from_values(domain, entry.get("_value"))
    indices = _listed(domain, index, "_idx")
    for at in indices:
        if type(at) is not int or not 0 <= at < len(domain.candidates):
            raise ArchitectureError(f"key {key!r}: _idx is {brief(index)}; expected 0 to {len(domain.candidates) - 1}")
    if "_value" in entry:
        values = _listed(domain, entry["_value"], "_value")
        if values != [domain.candidates[at] for at in indices]:
            found, named = brief(entry["_value"]), brief([domain.candidates[at] for at in indices])
            raise ArchitectureError(f"key {key!r}: _value is {found}, but _idx {brief(index)} means {named}")
    return _counted(domain, indices)


def _from_values(domain: Domain, value: Any) -> Indices:
    names = _listed(domain, value, "_value")
    at: dict[Candidate, list[int]] = {}
    for index, candidate in enumerate(domain.candidates):
        at.setdefault(candidate, []).append(index)
    found = []
    for name in names:
        try:
            indices = at.get(name, [])
        except TypeError:  # a list or an object, which has no hash
            indices = []
        if not indices:
            known = some(domain.candidates)
            raise ArchitectureError(f"key {domain.key!r}: {brief(name)} is no candidate; expected one of {known}")
        if len(indices) > 1:
            raise ArchitectureError(
                f"key {domain.key!r}: {brief(name)} names candidates {brief(indices)}; give _idx to say which"
            )
        found += indices
    return _counted(domain, found)


def _listed(domain: Domain, found: Any, field: str) -> list[Any]:
    if domain.kind != INPUT_CHOICE:
        return [found]
    if not isinstance(found, list | tuple):
        raise ArchitectureError(f"key {domain.key!r}: {field} is {brief(found)}; expected a list, since it chooses inputs")
    return list(found)


def _counted(domain: Domain, indices: list[int]) -> Indices:
    if len(set(indices)) != len(indices):
        raise ArchitectureError(f"key {domain.key!r}: inputs {brief(indices)} are repeated; each may be chosen once")
    if domain.n_chosen is not None and len(indices) != domain.n_chosen:
        raise ArchitectureError(f"key {domain.key!r}: {len(indices)} inputs chosen; expected {domain.n_chosen}")
    return tuple(sorted(indices))


def _read_mask(domain: Domain, mask: Any) -> int | list[int]:
    entries = mask.tolist() if hasattr(mask, "tolist") else mask
    key, n = domain.key, len(domain.candidates)
    if not isinstance(entries, list | tuple) or len(entries) != n or any(entry not in (0, 1) for entry in entries):
        raise ArchitectureError(f"key {key!r}: found {brief(mask)}; expected a mask of {n} booleans, or of zeros and ones")
    picked = [index for index, entry in enumerate(entries) if entry]
    if domain.kind == INPUT_CHOICE:
        return picked
    if len(picked) != 1:
        raise ArchitectureError(f"key {key!r}: the mask selects {len(picked)} candidates; expected exactly one")
    return picked[0]
