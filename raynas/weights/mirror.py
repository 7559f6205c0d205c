"""``Mirror``: versions on disk, where they outlive every process: a shard a safetensors file, manifests last."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from raynas.errors import RegistryError
from raynas.weights.shards import Block, Manifest, Shard, digest_block
from raynas.weights.views import view_tensors


class Mirror:
    """A folder with ``shards/<digest>-<names>.safetensors`` and ``versions/<version>.json``.

    ``<names>`` is a digest of the tensors' names: candidates with equal bytes are two files, since a file holds names.
    Every file is written beside and renamed, the manifest after its shards: a version that can be seen is whole.

    Args:
        folder: made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self._shards, self._versions = folder / "shards", folder / "versions"

    def versions(self) -> list[int]:
        """The versions that are here, ascending."""
        return sorted(int(path.stem) for path in self._versions.glob("*.json") if path.stem.isdigit())

    def write(self, manifest: Manifest, blocks: dict[str, Block]) -> None:
        """Write a version; ``blocks`` by digest has at least those that no earlier version wrote."""
        self._shards.mkdir(parents=True, exist_ok=True)
        self._versions.mkdir(parents=True, exist_ok=True)
        for shard in manifest.shards:
            path = self._path(shard)
            if not path.exists():
                tensors = view_tensors(blocks[shard.digest], shard.tensors, copy=True)
                beside = path.with_name(f".{path.name}.{os.getpid()}")
                save_file(tensors, beside)
                beside.replace(path)
        path = self._versions / f"{manifest.version:06d}.json"
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_text(json.dumps(manifest.to_dict()), encoding="utf-8")
        beside.replace(path)

    def manifest(self, version: int) -> Manifest:
        """Read a manifest. Raises ``RegistryError`` naming the file if it cannot be read."""
        path = self._versions / f"{version:06d}.json"
        try:
            return Manifest.from_dict(json.loads(path.read_bytes()))
        except (OSError, ValueError, RegistryError) as error:
            raise RegistryError(f"{path} cannot be read: {error}") from None

    def read(self, shard: Shard) -> Block:
        """Read a block back. Raises ``RegistryError`` naming the file if it is missing or damaged."""
        path = self._path(shard)
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise RegistryError(f"{path} cannot be read: {error}") from None
        block = np.zeros(shard.num_bytes, np.uint8)
        target = torch.from_numpy(block)
        for entry in shard.tensors:
            source = tensors.get(entry.name)
            if source is None or tuple(source.shape) != entry.shape:
                raise RegistryError(f"{path} does not hold the tensor {entry.name!r} of shape {entry.shape}")
            target[entry.offset : entry.offset + source.nbytes].view(source.dtype).view(source.shape).copy_(source)
        if digest_block(block) != shard.digest:
            raise RegistryError(f"{path} is damaged: its digest is {digest_block(block)}, expected {shard.digest}")
        return block

    def _path(self, shard: Shard) -> Path:
        names = hashlib.sha256("\n".join(entry.name for entry in shard.tensors).encode()).hexdigest()[:8]
        return self._shards / f"{shard.digest}-{names}.safetensors"
