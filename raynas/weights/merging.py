"""Sharing back: a trial that has trained the weights that it inherited gives them to all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from raynas.errors import OptionError, RegistryError, UnknownVersionError, UploadLostError
from raynas.space import Architecture
from raynas.weights.blocks import Block, block_digest, digest_shards
from raynas.weights.layout import Shard, TensorEntry
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
        RegistryError: a tensor is not the architecture's, or has another shape or dtype, or two names of one tensor are given
            different values.
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
        packs = self.base.layout.packs
        used = self.base.layout.used_by(self.architecture.indices)
        ours = {
            entry.name: entry
            for number, places in used.items()
            for place in places
            for entry in packs[number].shards[place].tensors
        }
        for name, tensor in self.tensors.items():
            entry = ours.get(name)
            if entry is None:
                raise RegistryError(f"{name!r} is no tensor of this architecture; it has {', '.join(sorted(ours)[:8])}, ...")
            if tuple(tensor.shape) != entry.shape or tensor.dtype != entry.torch_dtype:
                raise RegistryError(
                    f"{name!r} is {tensor.dtype} {list(tensor.shape)}, expected {entry.dtype} {list(entry.shape)}"
                )

    @cached_property
    def touched(self) -> dict[int, list[int]]:
        """Numbers of the packs of which tensors are given, with the numbers of those shards."""
        found: dict[int, list[int]] = {}
        for number, places in self.base.layout.used_by(self.architecture.indices).items():
            for place in places:
                if any(entry.name in self.tensors for entry in self.base.layout.packs[number].shards[place].tensors):
                    found.setdefault(number, []).append(place)
        return found

    def commit(self, store: ShardStore, *, share: bool) -> int:
        """Make it a version, merged with whatever came in between; again, if another one is quicker."""
        while True:
            current = store.manifest()
            try:
                version = self._commit_onto(current, store, share=share)
            except UploadLostError:  # what holds the registry has died and come back
                continue
            except UnknownVersionError:
                if current.version in store.versions():
                    raise  # it is the base that is gone
                continue
            if version is not None:
                return version

    def _commit_onto(self, current: Manifest, store: ShardStore, *, share: bool) -> int | None:
        layout = self.base.layout
        upload = store.begin(layout, share=share, num_bytes=sum(layout.packs[number].num_bytes for number in self.touched))
        changed: dict[int, tuple[str, ...]] = {}
        new: dict[str, Block] = {}
        clashes = 0
        for number, places in self.touched.items():
            block, num_clashes = self._merged(store, current, number, places)
            changed[number] = digest_shards(block, layout.packs[number])
            digest = block_digest(changed[number])
            if digest not in upload.known:
                new[digest] = block
            clashes += num_clashes
        if new:
            upload.add(new)
        version = upload.commit(changed, {number: current.blocks[number] for number in self.touched})
        if version is not None and clashes:
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
        bases = view_tensors(before, shard, copy=True) if before is not None else {}  # merge may write to what it is given
        for entry in _given_once(shard, self.tensors):
            given = self.tensors[entry.name].detach().cpu()
            current = currents[entry.name]
            if clash and callable(self.merge):
                given = self.merge(bases[entry.name], current, given).detach()
                if given.shape != current.shape:  # what could be broadcast is a mistake too
                    raise RegistryError(f"merge made {list(given.shape)} of {entry.name!r}, expected {list(entry.shape)}")
            elif clash and self.merge == "average" and entry.torch_dtype.is_floating_point:
                given = (current + given) / 2
            start = shard.start + entry.offset
            target = torch.from_numpy(block[start : start + entry.num_bytes])
            target.view(entry.torch_dtype).view(entry.shape).copy_(given)


def _given_once(shard: Shard, tensors: Mapping[str, Tensor]) -> list[TensorEntry]:
    """The entries of a shard that are given, of those that are tied the first. Raises ``RegistryError`` if they differ."""
    found: dict[int, TensorEntry] = {}
    for entry in shard.tensors:
        if entry.name not in tensors or not entry.num_bytes:
            continue
        first = found.setdefault(entry.offset, entry)
        one, other = tensors[first.name], tensors[entry.name]
        if first is not entry and ((one != other) & ~(one.isnan() & other.isnan())).any():
            raise RegistryError(f"{first.name!r} and {entry.name!r} are one tensor, and are given different values")
    return list(found.values())
