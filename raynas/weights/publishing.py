"""From a model to a version in a store: which blocks are new, and that they are whole."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.weights.blocks import Block, block_digest, digest_shards, fill, find_nan, make_block
from raynas.weights.layout import Layout, Pack, Shard
from raynas.weights.store import ShardStore

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

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """The packs by number, one after the other in the same memory: each is valid until the next one."""
        packs = [self.layout.packs[number] for number in self.numbers]
        scratch = make_block(max((pack.num_bytes for pack in packs), default=0), pinned=self._is_on_gpu)
        for number, pack in zip(self.numbers, packs, strict=True):
            block = scratch[: pack.num_bytes]
            fill(block, pack, self.state)
            yield number, block

    def copied_blocks(self) -> list[tuple[int, Block]]:
        """All of them at once, as they are now, so that the model may go on training."""
        copied = []
        for number in self.numbers:
            pack = self.layout.packs[number]
            block = make_block(pack.num_bytes, pinned=self._is_on_gpu)
            fill(block, pack, self.state)
            copied.append((number, block))
        return copied

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
        self._last = 0  # version that was published from here; one that is lost is made up for by publishing everything

    def prepare(self, model: nn.Module, changed: Changed | None) -> Publication:
        """What is to be published of a model; see ``Registry.publish``.

        Raises:
            RegistryError: a tensor is quantised or sparse.
        """
        state = model.state_dict()
        layout = _layout(model, state)
        newest = max(self._store.versions(), default=0)
        if changed is None or newest < max(self._last, 1):
            return Publication(layout, state, tuple(range(len(layout.packs))))
        by_key = _by_key(changed)
        looked_at = [any(_may_have_changed(shard, by_key) for shard in pack.shards) for pack in layout.packs]
        return Publication(layout, state, tuple(number for number, each in enumerate(looked_at) if each))

    def send(self, publication: Publication, blocks: Iterable[tuple[int, Block]]) -> int:
        """Store what is new of these blocks, and add the version."""
        layout = publication.layout
        upload = self._store.begin(layout, share=self._share, num_bytes=publication.num_bytes)
        changed: dict[int, tuple[str, ...]] = {}
        for number, block in blocks:
            pack = layout.packs[number]
            changed[number] = digests = digest_shards(block, pack)
            digest = block_digest(digests)
            if digest not in upload.known:
                self._warn_of_nan(block, pack)
                upload.add(digest, block)
                upload.known.add(digest)
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
