"""Whether a checkpoint belongs to a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raynas.errors import CheckpointError


def check_fingerprint(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Compare what a checkpoint was made with.

    Raises:
        CheckpointError: naming the first difference.
    """
    for name in {**expected, **found}:
        one, other = found.get(name), expected.get(name)
        if one == other:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            entry = sorted(key for key in {*one, *other} if one.get(key) != other.get(key))[0]
            name, one, other = f"{name} {entry!r}", one.get(entry), other.get(entry)
        raise CheckpointError(
            f"the checkpoint was made by another training: {name} was {one}, is {other} now; go on as it was begun, "
            "or begin anew under another name"
        )
