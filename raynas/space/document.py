"""JSON text to plain objects and back, strictly: repeated keys, NaN and absurd depth are errors.

What the documents mean is in ``search_space`` and ``architecture``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from raynas.errors import RaynasError


def parse_document(text: str | bytes, error: type[RaynasError]) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        error: the text is not JSON, not an object, repeats a key, or holds NaN or infinity.
    """

    def refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise error(f"key {key!r} is repeated; every key of the document must be there once")
            found[key] = value
        return found

    def refuse_constant(name: str) -> Any:
        raise error(f"the document holds {name}, which is not JSON")

    try:
        document = json.loads(text, object_pairs_hook=refuse_repeats, parse_constant=refuse_constant)
    except RaynasError:
        raise
    except RecursionError:
        raise error("the document is nested too deeply to be a search space or an architecture") from None
    except (ValueError, UnicodeDecodeError) as cause:
        raise error(f"the document is not JSON: {cause}") from None
    if not isinstance(document, dict):
        raise error(f"the document is a {type(document).__name__}; expected an object with a key for each mutable")
    return document


def write_document(document: Mapping[str, Any]) -> str:
    """The document as indented JSON, its keys in their own order, with a newline at the end."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
