"""From a model to a version in a store: which blocks are new, and that they are whole."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.errors import UploadLostError
from raynas.weights.blocks import Block, block_digest, bytes_of, digest_shards, fill, find_nan, make_block
from raynas.weights.layout import Layout, Pack, Shard
from raynas.weights.store import ShardStore
from raynas.weights.version_table import LOST

WAVE = 64_000_000  # bytes that are brought at once: many small objects take long, and a large one much memory
Wave = list[tuple[int, Block]]
Changed = Iterable[str] | Mapping[str, Iterable[int]]  # keys, or the indices of their candidates


@dataclass(frozen=True)
class Publication:
    """The weights of a model as they are to be published.

    Attributes:
        layout: of the model.
        state: its ``state_dict()``.
        numbers: which packs may have changed.
    """

    layout: Layout
    state: dict[str, Tensor]
    numbers: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """How much may be stored."""
        return sum(self.layout.packs[number].num_bytes for number in self.numbers)

    def waves(self) -> Iterator[Wave]:
        """The packs by number, some at a time: as they lie in the model, or copied into the same memory again and again. Each
        wave is valid until the next one."""
        memory = make_block(0)
        for numbers in self._by_wave():
            needed = sum(self.layout.packs[number].num_bytes for number in numbers)
            if memory.nbytes < needed:
                memory = make_block(needed, pinned=self._is_on_gpu)
            yield list(self._lay(numbers, memory, in_place=True))

    def copied_waves(self) -> list[Wave]:
        """All of them at once, as they are now, so that the model may go on training."""
        waves = []
        for numbers in self._by_wave():
            memory = make_block(sum(self.layout.packs[number].num_bytes for number in numbers), pinned=self._is_on_gpu)
            waves.append(list(self._lay(numbers, memory, in_place=False)))
        return waves

    def _by_wave(self) -> Iterator[list[int]]:
        wave: list[int] = []
        num_bytes = 0
        for number in self.numbers:
            wave.append(number)
            num_bytes += self.layout.packs[number].num_bytes
            if num_bytes >= WAVE:
                yield wave
                wave, num_bytes = [], 0
        if wave:
            yield wave

    def _lay(self, numbers: list[int], memory: Block, *, in_place: bool) -> Iterator[tuple[int, Block]]:
        start = 0
        for number in numbers:
            pack = self.layout.packs[number]
            block = bytes_of(pack, self.state) if in_place else None
            if block is None:
                block = memory[start : start + pack.num_bytes]
                fill(block, pack, self.state)
                start += pack.num_bytes
            yield number, block

    @property
    def _is_on_gpu(self) -> bool:
        return any(tensor.is_cuda for tensor in self.state.values())


class Publisher:
    """Brings weights into a store.

    Args:
        store: where to.
        name: of the registry.
        share: whether the registry may belong to another run.
    """

    def __init__(self, store: ShardStore, name: str, *, share: bool) -> None:
        self._store, self._name, self._share = store, name, share
        self._told_of_nan = False
        self._last = 0  # version that was published from here
        self._lacks = False  # whether the store has lost it, which is made up for by publishing everything

    def prepare(self, model: nn.Module, changed: Changed | None) -> Publication:
        """What is to be published of a model; see ``Registry.publish``.

        Raises:
            RegistryError: a tensor is quantised or sparse.
        """
        state = model.state_dict()
        layout = _layout(model, state)
        if changed is None or self._lacks:
            return Publication(layout, state, tuple(range(len(layout.packs))))
        by_key = _by_key(changed)
        looked_at = [any(_may_have_changed(shard, by_key) for shard in pack.shards) for pack in layout.packs]
        return Publication(layout, state, tuple(number for number, each in enumerate(looked_at) if each))

    def is_first(self) -> bool:
        """Whether nothing is there that a version could be made from."""
        return not self._last and not self._store.versions()

    def send(self, publication: Publication, waves: Iterable[Wave]) -> int:
        """Store what is new of these blocks, and add the version.

        Raises:
            UploadLostError: the store has lost the version that it was to be made from; the next ``prepare`` takes everything.
        """
        layout = publication.layout
        upload = self._store.begin(layout, share=self._share, num_bytes=publication.num_bytes)
        self._lacks = upload.newest < max(self._last, 1) and len(publication.numbers) < len(layout.packs)
        if self._lacks:
            raise UploadLostError(LOST)
        changed: dict[int, tuple[str, ...]] = {}
        for wave in waves:
            new: dict[str, Block] = {}
            for number, block in wave:
                pack = layout.packs[number]
                changed[number] = digests = digest_shards(block, pack)
                digest = block_digest(digests)
                if digest not in upload.known:
                    self._warn_of_nan(block, pack)
                    new[digest] = block
                    upload.known.add(digest)
            if new:
                upload.add(new)
        version = upload.commit(changed)
        assert version is not None  # nothing was asked of the newest version
        self._last = version
        return version

    def _warn_of_nan(self, block: Block, pack: Pack) -> None:
        if self._told_of_nan:
            return
        name = find_nan(block, pack)
        if name is not None:
            self._told_of_nan = True
            logging.getLogger(__name__).warning("weights published to %r hold NaN, in %r first", self._name, name)


def _has_place(tensor: object) -> bool:
    return isinstance(tensor, Tensor) and tensor.layout == torch.strided  # else the layout is refused when it is made


def _by_key(changed: Changed) -> dict[str, set[int] | None]:
    """For each key the candidates that may have changed, ``None`` for all of them."""
    if isinstance(changed, Mapping):
        return {key: set(indices) for key, indices in changed.items()}
    return dict.fromkeys([changed] if isinstance(changed, str) else changed)


def _may_have_changed(shard: Shard, changed: Mapping[str, set[int] | None]) -> bool:
    """Whether a shard lies outside all choices or in a candidate that is named; what lies inside of one is named with it."""
    named = [(indices, changed[key]) for key, indices in shard.owner if key in changed]
    return (bool(named) or not shard.owner) and all(at is None or not at.isdisjoint(indices) for indices, at in named)


_LAYOUTS: weakref.WeakKeyDictionary[nn.Module, tuple[object, Layout]] = weakref.WeakKeyDictionary()


def _layout(model: nn.Module, state: Mapping[str, Tensor]) -> Layout:
    """The layout, made anew when the model's tensors are not those that it was made of."""
    made_of = [
        (name, tensor.data_ptr(), tensor.shape, tensor.dtype) if _has_place(tensor) else name for name, tensor in state.items()
    ]
    known = _LAYOUTS.get(model)
    if known is None or known[0] != made_of:
        known = _LAYOUTS[model] = (made_of, Layout.of(model, state))
    return known[1]
