"""``Layout``: where each tensor of a supernet lies, in shards and in blocks. What the bytes are is not known here."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from raynas.errors import RegistryError
from raynas.nn import Owner, state_owners

ALIGNMENT = 64  # bytes; a cache line, and enough for every dtype
SMALL = 1_000_000  # bytes; a smaller shard shares its block with the other small ones of its mutable


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies in its shard.

    Attributes:
        name: as in the supernet's ``state_dict``.
        dtype: torch's name of it, ``"float32"``.
        shape: sizes; empty for a scalar.
        offset: in bytes from the beginning of the shard, a multiple of ``ALIGNMENT``.
        is_buffer: whether it is a buffer rather than a parameter.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    is_buffer: bool

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}  # without what is cached

    @cached_property
    def torch_dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    @cached_property
    def num_bytes(self) -> int:
        return self.torch_dtype.itemsize * math.prod(self.shape)  # not numel(), which wraps around at 2**64


@dataclass(frozen=True)
class Shard:
    """The tensors of one candidate, or of what lies outside all choices.

    Attributes:
        owner: keys and the indices at which the shard is used; empty outside all choices.
        start: where it begins in its block, in bytes.
        num_bytes: its length.
        tensors: the tensors in it.
    """

    owner: Owner
    start: int
    num_bytes: int
    tensors: tuple[TensorEntry, ...]

    @property
    def end(self) -> int:
        """Where it ends in its block."""
        return self.start + self.num_bytes

    @property
    def title(self) -> str:
        """For messages."""
        return " in ".join(f"{key}[{', '.join(map(str, at))}]" for key, at in reversed(self.owner)) or "outside all choices"

    def is_used_by(self, chosen: Mapping[str, Iterable[int]]) -> bool:
        """Whether the shard takes part where for each key these candidates do."""
        return all(key in chosen and not set(indices).isdisjoint(chosen[key]) for key, indices in self.owner)


@dataclass(frozen=True)
class Pack:
    """What one block holds: one large shard, or the small ones of one mutable, one after the other.

    Attributes:
        num_bytes: the length of the block.
        shards: in the order in which they lie.
    """

    num_bytes: int
    shards: tuple[Shard, ...]

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}  # without what is cached

    @cached_property
    def places(self) -> tuple[tuple[int, TensorEntry], ...]:
        """Where each tensor begins in the block, in this order; without those that are empty, or tied to one before."""
        found, end = [], 0
        for shard in self.shards:
            for entry in shard.tensors:
                start = shard.start + entry.offset
                if start >= end and entry.num_bytes:
                    end = start + entry.num_bytes
                    found.append((start, entry))
        return tuple(found)

    def tensors(self) -> Iterator[TensorEntry]:
        """All tensors in it."""
        for shard in self.shards:
            yield from shard.tensors


@dataclass(frozen=True)
class Layout:
    """Every tensor of a supernet in its place; the same for every version of its weights."""

    packs: tuple[Pack, ...]

    @classmethod
    def of(cls, model: nn.Module, state: Mapping[str, Tensor]) -> Layout:
        """The layout of a model.

        Args:
            model: with mutables.
            state: its ``state_dict()``.

        Raises:
            RegistryError: a tensor is quantised or sparse, or an entry of ``state_dict`` is no tensor.
        """
        buffers = {name for name, _ in model.named_buffers(remove_duplicate=False)}
        by_owner: dict[Owner, dict[str, Tensor]] = {}
        owners = state_owners(model)
        for name, tensor in state.items():
            by_owner.setdefault(owners[name], {})[name] = _checked(name, tensor)
        shards = [_lay_shard(owner, tensors, buffers) for owner, tensors in by_owner.items()]
        return cls(tuple(_lay_packs(shards)))

    @cached_property
    def tensors(self) -> dict[str, TensorEntry]:
        """All tensors by name."""
        return {entry.name: entry for pack in self.packs for entry in pack.tensors()}

    def used_by(self, chosen: Mapping[str, Iterable[int]]) -> dict[int, list[int]]:
        """Numbers of the packs that take part, with the numbers of their shards that do; see ``Shard.is_used_by``."""
        used: dict[int, list[int]] = {}
        for number, pack in enumerate(self.packs):
            taking_part = [place for place, shard in enumerate(pack.shards) if shard.is_used_by(chosen)]
            if taking_part:
                used[number] = taking_part
        return used

    def all_of_it(self) -> dict[int, list[int]]:
        """``used_by`` for every candidate at once."""
        return {number: list(range(len(pack.shards))) for number, pack in enumerate(self.packs)}

    def differences(self, found: Layout) -> list[str]:
        """Which tensors of another layout are not as in this one, a line for each."""
        if self.digest == found.digest:
            return []
        ours, theirs = self.tensors, found.tensors
        lines: list[str] = []
        for name in sorted({*ours, *theirs}):
            one, other = _describe(ours.get(name)), _describe(theirs.get(name))
            if one != other:
                lines.append(f"{name!r} is {other}, expected {one}")
        if not lines:
            lines.append("the tensors are the same, but belong to other candidates or are tied in another way")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"packs": [_pack_to_dict(pack) for pack in self.packs]}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Layout:
        """Read what ``to_dict`` wrote. Raises ``RegistryError`` where it is something else."""
        try:
            return cls(tuple(_read_pack(pack) for pack in document["packs"]))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise RegistryError(f"this is no layout of weights: {type(error).__name__} {error}") from None

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits that tell layouts apart."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self.digest, [_row(pack) for pack in self.packs])  # plain tuples: thousands of objects take long


_ENTRY = ("name", "dtype", "shape", "offset", "is_buffer")
_of_entry = attrgetter(*_ENTRY)


def _pack_to_dict(pack: Pack) -> dict[str, Any]:
    shards = []
    for owner, start, num_bytes, entries in _row(pack)[1]:
        tensors = [dict(zip(_ENTRY, entry, strict=True)) for entry in entries]
        shards.append({"owner": owner, "start": start, "num_bytes": num_bytes, "tensors": tensors})
    return {"num_bytes": pack.num_bytes, "shards": shards}


def _row(pack: Pack) -> tuple[int, list[Any]]:
    return pack.num_bytes, [
        (each.owner, each.start, each.num_bytes, list(map(_of_entry, each.tensors))) for each in pack.shards
    ]


def _unpickle(digest: str, rows: list[tuple[int, Any]]) -> Layout:
    packs = []
    for num_bytes, shards in rows:
        read = [
            Shard(owner, start, size, tuple(TensorEntry(*entry) for entry in entries)) for owner, start, size, entries in shards
        ]
        packs.append(Pack(num_bytes, tuple(read)))
    layout = Layout(tuple(packs))
    layout.__dict__["digest"] = digest  # it was computed where this comes from
    return layout


def _checked(name: str, tensor: object) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise RegistryError(f"{name!r} is a {type(tensor).__name__}; only tensors can be published")
    if tensor.is_quantized or tensor.layout != torch.strided:
        raise RegistryError(f"tensor {name!r} is quantised or sparse; only dense tensors can be published")
    return tensor


def _lay_shard(owner: Owner, tensors: Mapping[str, Tensor], buffers: set[str]) -> Shard:
    entries, offset, placed = [], 0, dict[tuple[object, ...], int]()
    for name, tensor in tensors.items():
        same = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride(), tensor.is_conj(), tensor.is_neg())
        at = placed.get(same, offset) if tensor.numel() else offset  # tied tensors are stored once
        entries.append(TensorEntry(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), at, name in buffers))
        if at == offset:
            placed[same] = offset
            offset += _aligned(tensor.nbytes)
    return Shard(owner, 0, offset, tuple(entries))


def _lay_packs(shards: Iterable[Shard]) -> Iterator[Pack]:
    small: dict[str, list[Shard]] = {}
    for shard in shards:
        if shard.num_bytes >= SMALL:
            yield Pack(shard.num_bytes, (shard,))
        else:
            small.setdefault(shard.owner[-1][0] if shard.owner else "", []).append(shard)
    for members in small.values():
        start, placed = 0, []
        for shard in members:
            placed.append(Shard(shard.owner, start, shard.num_bytes, shard.tensors))
            start += shard.num_bytes
        yield Pack(start, tuple(placed))


def _aligned(num_bytes: int) -> int:
    return -(-num_bytes // ALIGNMENT) * ALIGNMENT


def _read_pack(document: Mapping[str, Any]) -> Pack:
    """A pack in which all lies as ``_lay_shard`` and ``_lay_packs`` lay it: one after the other, at aligned places."""
    shards, end = [], 0
    for each in document["shards"]:
        owner = tuple((str(key), tuple(map(int, indices))) for key, indices in each["owner"])
        tensors = tuple(_read_entry(entry) for entry in each["tensors"])
        needed = max((_aligned(entry.offset + entry.num_bytes) for entry in tensors), default=0)
        shards.append(Shard(owner, int(each["start"]), int(each["num_bytes"]), tensors))
        if (shards[-1].start, shards[-1].num_bytes) != (end, needed):
            raise ValueError(f"the shard {shards[-1].title} lies elsewhere than its tensors")
        end = shards[-1].end
    if int(document["num_bytes"]) != end:
        raise ValueError(f"a block has {document['num_bytes']} bytes, and shards of {end}")
    return Pack(end, tuple(shards))


def _read_entry(document: Mapping[str, Any]) -> TensorEntry:
    name, dtype, shape = str(document["name"]), str(document["dtype"]), tuple(map(int, document["shape"]))
    entry = TensorEntry(name, dtype, shape, int(document["offset"]), bool(document["is_buffer"]))
    if not isinstance(entry.torch_dtype, torch.dtype) or min(shape, default=0) < 0:
        raise ValueError(f"{name!r} has the dtype {dtype!r} and the shape {shape}")
    if entry.offset < 0 or entry.offset % ALIGNMENT:
        raise ValueError(f"{name!r} is at {entry.offset}, expected a multiple of {ALIGNMENT}")
    return entry


def _describe(entry: TensorEntry | None) -> str:
    return f"{entry.dtype} {list(entry.shape)}" if entry is not None else "missing"
