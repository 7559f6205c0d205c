"""Sharing back: a trial that has trained the weights that it inherited gives them to all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from raynas.errors import OptionError, RegistryError, UploadLostError
from raynas.space import Architecture
from raynas.weights.blocks import Block, block_digest, digest_shards
from raynas.weights.layout import Layout, Shard
from raynas.weights.manifest import Manifest
from raynas.weights.store import ShardStore
from raynas.weights.views import view_tensors

Merge = Literal["overwrite", "average"] | Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Update:
    """Tensors that are to become part of the newest version.

    Attributes:
        architecture: whose they are.
        tensors: by the supernet's names; some of the architecture's, or all.
        base: the version that they were trained from.
        merge: what becomes of a tensor that another update has changed since ``base``.

    Raises:
        OptionError: ``merge`` is none of those.
        RegistryError: a tensor is not the architecture's, or has another shape or dtype.
    """

    architecture: Architecture
    tensors: Mapping[str, Tensor]
    base: Manifest
    merge: Merge = "overwrite"

    def __post_init__(self) -> None:
        if self.merge not in ("overwrite", "average") and not callable(self.merge):
            raise OptionError(
                f"merge is {self.merge!r}; expected 'overwrite', 'average' or a function of (base, current, given)"
            )
        layout = self.base.layout
        used = layout.used_by(self.architecture.indices)
        ours = {
            entry.name: entry
            for number, places in used.items()
            for place in places
            for entry in layout.packs[number].shards[place].tensors
        }
        for name, tensor in self.tensors.items():
            entry = ours.get(name)
            if entry is None:
                raise RegistryError(f"{name!r} is no tensor of this architecture; it has {', '.join(sorted(ours)[:8])}, ...")
            if tuple(tensor.shape) != entry.shape or tensor.dtype != entry.torch_dtype:
                raise RegistryError(
                    f"{name!r} is {tensor.dtype} {list(tensor.shape)}, expected {entry.dtype} {list(entry.shape)}"
                )

    def commit(self, store: ShardStore, *, share: bool) -> int:
        """Make it a version, merged with whatever came in between; again, if another one is quicker."""
        while True:
            current = store.manifest()
            upload = store.begin(self.base.layout, share=share, num_bytes=self._num_bytes())
            changed: dict[int, tuple[str, ...]] = {}
            seen: dict[int, str] = {}
            clashes = 0
            for number, places in self.base.layout.used_by(self.architecture.indices).items():
                block, num_clashes = self._merged(store, current, number, places)
                pack = self.base.layout.packs[number]
                changed[number], seen[number] = digest_shards(block, pack), current.blocks[number]
                digest = block_digest(changed[number])
                if digest not in upload.known:
                    upload.add(digest, block)
                clashes += num_clashes
            try:
                version = upload.commit(changed, seen)
            except UploadLostError:  # what holds the registry has died and come back
                continue
            if version is not None:
                store.count_clashes(clashes)
                return version

    def _merged(self, store: ShardStore, current: Manifest, number: int, places: list[int]) -> tuple[Block, int]:
        """A block of the newest version with the tensors in it, and how many shards of it others have changed."""
        block: Block = np.array(store.read(current, [number])[0])
        before: Block | None = None
        clashes = 0
        for place in places:
            shard = current.layout.packs[number].shards[place]
            clash = current.digests[number][place] != self.base.digests[number][place]
            if clash and callable(self.merge) and before is None:
                before = store.read(self.base, [number])[0]
            self._write(block, shard, before if clash else None, clash=clash)
            clashes += clash
        return block, clashes

    def _write(self, block: Block, shard: Shard, before: Block | None, *, clash: bool) -> None:
        currents = view_tensors(block, shard)
        bases = view_tensors(before, shard) if before is not None else {}
        for entry in shard.tensors:
            if entry.name not in self.tensors:
                continue
            given = self.tensors[entry.name].detach().cpu()
            current = currents[entry.name]
            if clash and callable(self.merge):
                given = self.merge(bases[entry.name], current, given)
            elif clash and self.merge == "average" and entry.torch_dtype.is_floating_point:
                given = (current + given) / 2
            start = shard.start + entry.offset
            target = block[start : start + entry.num_bytes]
            target[:] = given.to(entry.torch_dtype).contiguous().reshape(-1).view(torch.uint8).numpy()

    def _num_bytes(self) -> int:
        layout: Layout = self.base.layout
        return sum(layout.packs[number].num_bytes for number in layout.used_by(self.architecture.indices))
