"""``Mirror``: versions in storage, where they outlive every process: a block a safetensors file, manifests last."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import uuid
from collections.abc import Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from raynas.errors import RegistryError
from raynas.storage import Storage
from raynas.weights.blocks import Block, block_digest, digest_shards, fill, make_block
from raynas.weights.layout import Pack
from raynas.weights.manifest import Manifest
from raynas.weights.views import view_tensors

WRITER = "writer"
RESERVED = "reserved"


class Mirror:
    """A folder with ``shards/<digest>-<names>.safetensors`` and ``versions/<version>.json``.

    ``<names>`` is a digest of the tensors' names: blocks with equal bytes may be two files, since a file holds names. The
    manifest of a version is written after its blocks: a version that can be seen is whole. ``writer`` says who may write, and
    ``reserved`` which numbers were given away before their versions were here.

    Args:
        storage: where; nothing is made before something is written.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._lock = threading.Lock()
        self._token: str | None = None
        self._whole: set[str] = set()  # files that were written or read here, and so are whole

    def claim(self) -> None:
        """Be the only one who writes: whoever claimed it before cannot add a version any more."""
        self._token = uuid.uuid4().hex
        self.storage.write(WRITER, self._token.encode())

    def is_claimed(self) -> bool:
        """Whether this is the one who writes."""
        if self._token is None or not self.storage.exists(WRITER):
            return False
        return self.storage.read(WRITER) == self._token.encode()

    def versions(self) -> list[int]:
        """The versions that are here, ascending."""
        names = [name.removesuffix(".json") for name in self.storage.names("versions")]
        return sorted(int(name) for name in names if name.isdigit())

    def write_block(self, pack: Pack, digests: Sequence[str], block: Block) -> None:
        """Write a block, if it is not here or is damaged."""
        name = _file_of(pack, digests)
        if name in self._whole:
            return
        if self.storage.exists(name):
            try:
                self.read(pack, digests)
            except RegistryError:
                logging.getLogger(__name__).warning("%s was damaged and is written again", self.storage.path(name))
            else:
                return
        tensors: dict[str, torch.Tensor] = {}
        for shard in pack.shards:
            tensors |= view_tensors(block, shard, copy=True)
        self.storage.write(name, save(tensors))
        self._whole.add(name)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write what makes a version visible; all of its blocks must be here.

        Raises:
            RegistryError: another process has claimed the mirror.
        """
        self._be_the_writer(f"version {manifest.version} is not added to it")
        self.storage.write(_manifest_file(manifest.version), json.dumps(manifest.to_dict()).encode())

    def next_version(self) -> int:
        """A number that no version has, neither one that is here nor one for which it was reserved."""
        try:
            reserved = int(self.storage.read(RESERVED)) if self.storage.exists(RESERVED) else 1
        except ValueError:
            reserved = 1  # written whole, and so by somebody else
        return max(reserved, *(version + 1 for version in self.versions()), 1)

    def reserve(self, next_version: int) -> None:
        """Remember that all smaller numbers may be versions, of which some will never be here.

        Raises:
            RegistryError: another process has claimed the mirror.
        """
        self._be_the_writer(f"version {next_version - 1} is not added to it")
        self.storage.write(RESERVED, str(next_version).encode())

    def _be_the_writer(self, consequence: str) -> None:
        with self._lock:
            if self._token is None or not self.storage.exists(WRITER):
                self.claim()
        if not self.is_claimed():
            raise RegistryError(f"another run writes to {self.storage.place} now; {consequence}")

    def manifest(self, version: int) -> Manifest:
        """Read a manifest. Raises ``RegistryError`` naming the file if it cannot be read."""
        name = _manifest_file(version)
        try:
            document = json.loads(self.storage.read(name))
            if not isinstance(document, dict):
                raise RegistryError("it holds no object")
            manifest = Manifest.from_dict(document)
        except (OSError, ValueError, RegistryError) as error:
            raise RegistryError(f"{self.storage.path(name)} cannot be read: {error}") from None
        if manifest.version != version:
            raise RegistryError(f"{self.storage.path(name)} is of version {manifest.version}")
        return manifest

    def read(self, pack: Pack, digests: Sequence[str]) -> Block:
        """Read a block back. Raises ``RegistryError`` naming the file if it is missing or damaged."""
        name = _file_of(pack, digests)
        path = self.storage.path(name)
        try:
            tensors = load(self.storage.read(name))
        except (OSError, SafetensorError, ValueError) as error:
            raise RegistryError(f"{path} cannot be read: {error}") from None
        for entry in pack.tensors():
            source = tensors.get(entry.name)
            if source is None or tuple(source.shape) != entry.shape or source.dtype != entry.torch_dtype:
                raise RegistryError(f"{path} does not hold the tensor {entry.name!r} of shape {entry.shape}")
        block = make_block(pack.num_bytes)
        with torch.no_grad():
            fill(block, pack, tensors)
        found = digest_shards(block, pack)
        if found != tuple(digests):
            raise RegistryError(f"{path} is damaged: its digest is {block_digest(found)}, expected {block_digest(digests)}")
        self._whole.add(name)
        return block

    def read_newest(self) -> tuple[Manifest, dict[str, Block]] | None:
        """The newest version that is whole, with its blocks by digest; ``None`` if nothing was written here.

        A warning names what is damaged in newer ones.

        Raises:
            RegistryError: there are versions, and none of them is whole.
        """
        problems = []
        for version in reversed(self.versions()):
            try:
                manifest = self.manifest(version)
                packs = zip(manifest.layout.packs, manifest.digests, manifest.blocks, strict=True)
                blocks = {block: self.read(pack, digests) for pack, digests, block in packs}
            except RegistryError as error:
                problems.append(f"version {version}: {error}")
                continue
            if problems:
                logging.getLogger(__name__).warning("going back to version %d of the weights; %s", version, "; ".join(problems))
            return manifest, blocks
        if problems:
            raise RegistryError(f"no version in {self.storage.place} is whole: {'; '.join(problems)}")
        return None

    def forget(self, version: int, others: Sequence[Manifest]) -> None:
        """Delete a version, and those of its blocks that no other one needs."""
        try:
            manifest = self.manifest(version)
        except RegistryError:
            manifest = None
        self.storage.delete(_manifest_file(version))
        if manifest is None:
            return
        needed = {name for other in others for name in _files_of(other)}
        for name in set(_files_of(manifest)) - needed:
            self.storage.delete(name)
            self._whole.discard(name)


def _manifest_file(version: int) -> str:
    return f"versions/{version:06d}.json"


def _files_of(manifest: Manifest) -> list[str]:
    return [_file_of(pack, digests) for pack, digests in zip(manifest.layout.packs, manifest.digests, strict=True)]


def _file_of(pack: Pack, digests: Sequence[str]) -> str:
    names = hashlib.sha256("\n".join(entry.name for entry in pack.tensors()).encode()).hexdigest()[:8]
    return f"shards/{block_digest(digests)}-{names}.safetensors"
