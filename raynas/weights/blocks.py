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


@torch.no_grad()
def fill(block: Block, pack: Pack, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors to their places.

    Args:
        block: as long as the pack, or longer; what lies between tensors is set to zero.
        pack: where they go.
        tensors: those of the pack by name, on any device.
    """
    whole, parts, end = torch.from_numpy(block[: pack.num_bytes]), [], 0
    for start, entry in pack.places:
        if start > end:
            parts.append(torch.zeros(start - end, dtype=torch.uint8))
        parts.append(tensors[entry.name])
        end = start + entry.num_bytes
    if end < pack.num_bytes:
        parts.append(torch.zeros(pack.num_bytes - end, dtype=torch.uint8))
    if any(part.is_cuda for part in parts):
        _copy_one_by_one(parts, whole)
        return
    dtypes = {part.dtype for part in parts}
    if len(dtypes) == 1:  # nothing between the tensors
        torch.cat([part.reshape(-1) for part in parts], out=whole.view(*dtypes))
    elif parts:
        torch.cat([_as_bytes(part) for part in parts], out=whole)


def bytes_of(pack: Pack, tensors: Mapping[str, Tensor]) -> Block | None:
    """The block of a pack as it lies in memory already, where it is a single tensor; else ``None``."""
    if len(pack.places) != 1 or pack.places[0][1].num_bytes != pack.num_bytes:
        return None
    tensor = tensors[pack.places[0][1].name].detach()
    if tensor.is_cuda or not tensor.is_contiguous() or tensor.is_conj() or tensor.is_neg():
        return None
    block: Block = _as_bytes(tensor).numpy()
    return block


def _as_bytes(tensor: Tensor) -> Tensor:
    """Flat; a copy where the tensor does not lie in one piece."""
    return tensor.resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)


def _copy_one_by_one(parts: Sequence[Tensor], whole: Tensor) -> None:
    """From several devices, all copies under way at once."""
    end = 0
    for part in parts:
        start, end = end, end + part.nbytes
        if part.nbytes:
            whole[start:end].view(part.dtype).view(part.shape).copy_(part, non_blocking=True)
    for device in {part.device for part in parts if part.is_cuda}:
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
