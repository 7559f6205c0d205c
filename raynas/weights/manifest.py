"""``Manifest``: one version of a supernet's weights: a layout, and the digest of every shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from raynas.errors import RegistryError
from raynas.weights.blocks import block_digest
from raynas.weights.layout import Layout

Digests = tuple[tuple[str, ...], ...]  # of every shard, pack by pack


@dataclass(frozen=True)
class Manifest:
    """One version.

    Attributes:
        version: counts from 1; there may be gaps.
        layout: where the tensors lie.
        digests: of every shard, pack by pack.
    """

    version: int
    layout: Layout
    digests: Digests

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}  # without what is cached

    @cached_property
    def blocks(self) -> tuple[str, ...]:
        """The digest of every block."""
        return tuple(block_digest(digests) for digests in self.digests)

    @cached_property
    def num_bytes(self) -> dict[str, int]:
        """The length of every block by its digest."""
        return {digest: pack.num_bytes for digest, pack in zip(self.blocks, self.layout.packs, strict=True)}

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"version": self.version, "layout": self.layout.to_dict(), "digests": [list(each) for each in self.digests]}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Manifest:
        """Read what ``to_dict`` wrote. Raises ``RegistryError`` where it is something else."""
        try:
            layout = Layout.from_dict(document["layout"])
            version = int(document["version"])
            digests = tuple(tuple(map(str, each)) for each in document["digests"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RegistryError(f"this is no manifest of weights: {type(error).__name__} {error}") from None
        if [len(each) for each in digests] != [len(pack.shards) for pack in layout.packs]:
            raise RegistryError("this is no manifest of weights: it has other digests than shards")
        if not all(len(digest) == 32 and set(digest) <= set("0123456789abcdef") for each in digests for digest in each):
            raise RegistryError("this is no manifest of weights: a digest is not 32 hexadecimal digits")
        return cls(version, layout, digests)
