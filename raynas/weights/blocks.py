"""Blocks: flat bytes, how tensors get into them, and the digests by which they are known. What lies where says ``layout``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
import xxhash
from torch import Tensor

from raynas.weights.layout import Pack, TensorEntry

Block = npt.NDArray[np.uint8]


def digest_bytes(data: Block) -> str:
    """32 hexadecimal digits of XXH3 (128 bits) over the bytes: it tells contents apart and finds damage, no more."""
    digest: str = xxhash.xxh3_128_hexdigest(data.data)
    return digest


def digest_shards(block: Block, pack: Pack) -> tuple[str, ...]:
    """The digest of each shard in a block."""
    return tuple(digest_bytes(block[shard.start : shard.end]) for shard in pack.shards)


def block_digest(digests: Sequence[str]) -> str:
    """The digest of a block from those of its shards."""
    return digests[0] if len(digests) == 1 else str(xxhash.xxh3_128_hexdigest("".join(digests).encode()))


def make_block(num_bytes: int, *, pinned: bool = False) -> Block:
    """Room for a block: pinned where it will be filled from a GPU. What is in it is not said."""
    block: Block = torch.empty(num_bytes, dtype=torch.uint8, pin_memory=pinned).numpy()
    return block


def fill(block: Block, pack: Pack, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors to their places.

    Args:
        block: as long as the pack, or longer; what lies between tensors is set to zero.
        pack: where they go.
        tensors: those of the pack by name, on any device.
    """
    whole, on_gpu, end = torch.from_numpy(block), False, 0
    for shard in pack.shards:
        for entry in shard.tensors:
            start = shard.start + entry.offset
            if start < end or not entry.num_bytes:
                continue  # tied to one that is there already, or empty
            if start > end:
                block[end:start] = 0
            end, source = start + entry.num_bytes, tensors[entry.name].detach()
            whole[start:end].view(source.dtype).view(source.shape).copy_(source, non_blocking=True)
            on_gpu = on_gpu or source.is_cuda
    block[end : pack.num_bytes] = 0
    if on_gpu:
        for device in {tensors[entry.name].device for entry in pack.tensors() if tensors[entry.name].is_cuda}:
            torch.cuda.synchronize(device)  # the copies above were only asked for


def find_nan(block: Block, pack: Pack) -> str | None:
    """The name of a tensor in a block that holds a NaN; ``None`` if none does."""
    filled = [entry for entry in pack.tensors() if entry.num_bytes]
    if filled and len({entry.dtype for entry in filled}) == 1 and _may_hold_nan(filled[0]):
        whole = torch.from_numpy(block[: pack.num_bytes]).view(filled[0].torch_dtype)
        if whole.sum().isfinite():
            return None  # one quick pass says that there is none
    for shard in pack.shards:
        for entry in shard.tensors:
            start = shard.start + entry.offset
            part = torch.from_numpy(block[start : start + entry.num_bytes])
            if entry.num_bytes and _may_hold_nan(entry) and part.view(entry.torch_dtype).isnan().any():
                return entry.name
    return None


def _may_hold_nan(entry: TensorEntry) -> bool:
    return entry.torch_dtype.is_floating_point and entry.torch_dtype.itemsize > 1
