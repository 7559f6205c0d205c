"""Shards: the weights of one candidate, or of what lies outside all choices, as one flat block of bytes.

How a block becomes tensors again is in ``views``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from raynas.errors import RegistryError
from raynas.nn import Owner, state_owners

ALIGNMENT = 64  # bytes; a cache line, and enough for every dtype
Block = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies in its block.

    Attributes:
        name: as in the supernet's ``state_dict``.
        dtype: torch's name of it, ``"float32"``.
        shape: sizes; empty for a scalar.
        offset: in bytes, a multiple of ``ALIGNMENT``.
        is_buffer: whether it is a buffer rather than a parameter.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    is_buffer: bool


@dataclass(frozen=True)
class Shard:
    """A block and what is in it.

    Attributes:
        owner: keys and the indices at which the block is used; empty for what lies outside all choices.
        digest: 32 hexadecimal digits of SHA-256 over the block.
        num_bytes: the length of the block.
        tensors: the tensors in it.
    """

    owner: Owner
    digest: str
    num_bytes: int
    tensors: tuple[TensorEntry, ...]


@dataclass(frozen=True)
class Manifest:
    """One version: all shards of a supernet.

    Attributes:
        version: counts from 1.
        shards: one for each candidate that has weights, and one for the rest.
    """

    version: int
    shards: tuple[Shard, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        shards = [
            {
                "owner": [[key, list(indices)] for key, indices in shard.owner],
                "digest": shard.digest,
                "num_bytes": shard.num_bytes,
                "tensors": [{**vars(entry), "shape": list(entry.shape)} for entry in shard.tensors],
            }
            for shard in self.shards
        ]
        return {"version": self.version, "shards": shards}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Manifest:
        """Read what ``to_dict`` wrote. Raises ``RegistryError`` where it is something else."""
        try:
            shards = []
            for entry in document["shards"]:
                owner = tuple((str(key), tuple(map(int, indices))) for key, indices in entry["owner"])
                tensors = tuple(TensorEntry(**{**fields, "shape": tuple(fields["shape"])}) for fields in entry["tensors"])
                shards.append(Shard(owner, str(entry["digest"]), int(entry["num_bytes"]), tensors))
            return cls(int(document["version"]), tuple(shards))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise RegistryError(f"this is no manifest of weights: {type(error).__name__} {error}") from None

    def tensors(self) -> dict[str, TensorEntry]:
        """All tensors by name."""
        return {entry.name: entry for shard in self.shards for entry in shard.tensors}


def make_shards(model: nn.Module) -> list[tuple[Shard, Block]]:
    """Cut a model's ``state_dict`` into shards; each block is a fresh copy in main memory.

    What lies on GPUs comes through pinned memory, at the speed of the bus: all copies are begun, then waited for together.

    Raises:
        RegistryError: a tensor is quantised or sparse, or an entry of ``state_dict`` is no tensor.
    """
    buffers = {name for name, _ in model.named_buffers(remove_duplicate=False)}
    by_owner: dict[Owner, dict[str, Tensor]] = {}
    owners, state = state_owners(model), model.state_dict()
    for name, tensor in state.items():
        by_owner.setdefault(owners[name], {})[name] = tensor
    copies = []
    for owner, tensors in by_owner.items():
        entries, num_bytes = _lay_out(tensors, buffers)
        copies.append((owner, entries, _begin_copy(tensors, entries, num_bytes)))
    for device in {tensor.device for tensor in state.values() if tensor.is_cuda}:
        torch.cuda.synchronize(device)
    return [_make_shard(owner, entries, host) for owner, entries, host in copies]


def digest_block(block: Block) -> str:
    """32 hexadecimal digits of SHA-256 over the bytes."""
    return hashlib.sha256(block.data).hexdigest()[:32]


def _lay_out(tensors: Mapping[str, Tensor], buffers: set[str]) -> tuple[list[TensorEntry], int]:
    """Where each tensor lies in its block, and how long that is in bytes."""
    entries, offset, placed = [], 0, dict[tuple[int, torch.Size, tuple[int, ...]], int]()
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise RegistryError(f"{name!r} is a {type(tensor).__name__}; only tensors can be published")
        if tensor.is_quantized or tensor.layout != torch.strided:
            raise RegistryError(f"tensor {name!r} is quantised or sparse; only dense tensors can be published")
        same = (tensor.data_ptr(), tensor.shape, tensor.stride())
        at = placed.get(same, offset) if tensor.numel() else offset  # tied tensors are stored once
        entries.append(TensorEntry(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), at, name in buffers))
        if at == offset:
            placed[same] = offset
            offset += -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
    return entries, offset


def _begin_copy(tensors: Mapping[str, Tensor], entries: list[TensorEntry], num_bytes: int) -> Tensor:
    """The tensors at their places in main memory; those of a GPU are still on their way there."""
    on_gpu = any(tensor.is_cuda for tensor in tensors.values())
    host = torch.zeros(num_bytes, dtype=torch.uint8, pin_memory=on_gpu)
    for entry in entries:
        source = tensors[entry.name].detach()
        place = host[entry.offset : entry.offset + source.nbytes]
        place.view(source.dtype).view(source.shape).copy_(source, non_blocking=True)
    return host


def _make_shard(owner: Owner, entries: list[TensorEntry], host: Tensor) -> tuple[Shard, Block]:
    block: Block = host.numpy()
    if host.is_pinned():
        block = block.copy()  # a store may keep it for good; pinned memory goes back, and serves the next version
    return Shard(owner, digest_block(block), block.nbytes, tuple(entries)), block
