"""Blocks: flat bytes, how tensors get into them, and the digests by which they are known. What lies where says ``layout``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
import xxhash
from torch import Tensor

from raynas.weights.layout import Pack, Shard

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
    whole, devices = torch.from_numpy(block), set[torch.device]()
    for shard in pack.shards:
        end = shard.start
        for entry in shard.tensors:
            start = shard.start + entry.offset
            if start < end or not entry.num_bytes:
                continue  # tied to one that is there already, or empty
            block[end:start] = 0
            end, source = start + entry.num_bytes, tensors[entry.name].detach()
            whole[start:end].view(source.dtype).view(source.shape).copy_(source, non_blocking=True)
            devices.add(source.device)
        block[end : shard.end] = 0
    for device in devices:
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # the copies above were only asked for


def find_nan(block: Block, shard: Shard) -> str | None:
    """The name of a tensor of the shard that holds a NaN; ``None`` if none does."""
    filled = [entry for entry in shard.tensors if entry.num_bytes]
    floating = [entry for entry in filled if entry.torch_dtype.is_floating_point and entry.torch_dtype.itemsize > 1]
    if floating and len({entry.dtype for entry in filled}) == 1:  # one quick pass says that there is none
        whole = torch.from_numpy(block[shard.start : shard.end]).view(floating[0].torch_dtype)
        if whole.sum().isfinite():
            return None
    for entry in floating:
        start = shard.start + entry.offset
        if torch.from_numpy(block[start : start + entry.num_bytes]).view(entry.torch_dtype).isnan().any():
            return entry.name
    return None
