"""``ShardStore``: what every store does, in this process with a mirror and without. The one in Ray has its tests in runtime."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from raynas.errors import RegistryError, UnknownVersionError
from raynas.storage import Storage
from raynas.weights import KEEP, Block, Layout, LocalStore, Manifest, ShardStore, digest_shards
from raynas.weights.blocks import block_digest

Lay = Callable[[nn.Module], tuple[Layout, list[Block]]]
Bring = Callable[[ShardStore, nn.Module], int | None]


@pytest.fixture(params=["memory", "mirror"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ShardStore:
    return LocalStore(Storage(tmp_path) if request.param == "mirror" else None, name="net")


@pytest.fixture
def bring(lay: Lay) -> Bring:
    """Adds a model's weights to a store as a version, by hand."""

    def bring(store: ShardStore, model: nn.Module) -> int | None:
        layout, blocks = lay(model)
        upload = store.begin(layout)
        changed = {}
        for number, (pack, block) in enumerate(zip(layout.packs, blocks, strict=True)):
            changed[number] = digest_shards(block, pack)
            if block_digest(changed[number]) not in upload.known:
                upload.add({block_digest(changed[number]): block})
        return upload.commit(changed)

    return bring


def test_versions_count_on_and_the_newest_stay(supernet: nn.Module, store: ShardStore, bring: Bring) -> None:
    assert store.versions() == []
    assert [bring(store, supernet) for _ in range(KEEP + 2)] == [1, 2, 3, 4, 5]
    assert store.versions() == [3, 4, 5]
    assert (store.manifest().version, store.manifest(3).version) == (5, 3)


def test_an_unknown_version_lists_what_there_is(supernet: nn.Module, store: ShardStore, bring: Bring) -> None:
    bring(store, supernet)
    with pytest.raises(UnknownVersionError, match=r"version 3 .* it has \[1\]"):
        store.manifest(3)
    with pytest.raises(UnknownVersionError, match=r"version 3 .* it has \[1\]"):
        store.lease(3, 10)


def test_blocks_are_read_in_the_order_asked_for_and_cannot_be_written(
    supernet: nn.Module, store: ShardStore, lay: Lay, bring: Bring
) -> None:
    bring(store, supernet)
    blocks = store.read(store.manifest(), [2, 0])
    assert [block.tobytes() for block in blocks] == [lay(supernet)[1][number].tobytes() for number in (2, 0)]
    assert store.read(store.manifest(), []) == []
    for block in blocks:
        with pytest.raises(ValueError, match="read-only"):
            block[0] = 1


def test_a_block_is_copied_before_add_returns(supernet: nn.Module, store: ShardStore, lay: Lay) -> None:
    layout, blocks = lay(supernet)
    scratch = np.empty(max(block.nbytes for block in blocks), np.uint8)
    upload, changed = store.begin(layout), {}
    for number, (pack, block) in enumerate(zip(layout.packs, blocks, strict=True)):
        scratch[: block.nbytes] = block
        changed[number] = digest_shards(block, pack)
        upload.add({block_digest(changed[number]): scratch[: block.nbytes]})
        scratch[:] = 0xFF
    upload.commit(changed)
    found = store.read(store.manifest(), [0, 1, 2])
    assert [block.tobytes() for block in found] == [block.tobytes() for block in blocks]


def test_known_tells_which_blocks_are_there(supernet: nn.Module, store: ShardStore, lay: Lay, bring: Bring) -> None:
    layout, _ = lay(supernet)
    assert store.begin(layout).known == set()
    bring(store, supernet)
    assert store.begin(layout).known == set(store.manifest().blocks)


def test_who_comes_too_late_adds_nothing(supernet: nn.Module, store: ShardStore, bring: Bring) -> None:
    bring(store, supernet)
    before = store.manifest()
    upload = store.begin(before.layout)
    with torch.no_grad():
        supernet.stem.bias += 1
    bring(store, supernet)
    assert upload.commit({0: before.digests[0]}, {0: before.blocks[0]}) is None
    assert store.versions() == [1, 2]
    assert store.begin(before.layout).commit({}, {1: before.blocks[1]}) == 3  # that one is as it was


def test_a_dropped_version_can_be_read_as_far_as_others_need_it(supernet: nn.Module, store: ShardStore, bring: Bring) -> None:
    bring(store, supernet)
    first: Manifest = store.manifest()
    for _ in range(KEEP):
        with torch.no_grad():
            supernet.stem.bias += 1
        bring(store, supernet)
    assert store.versions() == [2, 3, 4]
    assert [block.nbytes for block in store.read(first, [1, 2])] == [pack.num_bytes for pack in first.layout.packs[1:]]
    with pytest.raises(UnknownVersionError, match="version 1 was dropped; with a lease it would have stayed"):
        store.read(first, [0])


def test_a_lease_keeps_a_version(supernet: nn.Module, store: ShardStore, bring: Bring) -> None:
    bring(store, supernet)
    lease = store.lease(1, 100)
    for _ in range(KEEP + 1):
        bring(store, supernet)
    store.renew(lease, 1, 100)
    assert (store.versions(), store.stats().num_leased) == ([1, 3, 4, 5], 1)
    with pytest.raises(RegistryError, match="version 1 is in use"):
        store.delete(1)
    store.release(lease)
    assert (store.versions(), store.stats().num_leased) == ([3, 4, 5], 0)
    store.delete(4)
    assert store.versions() == [3, 5]


def test_what_it_holds_is_counted(supernet: nn.Module, store: ShardStore, bring: Bring) -> None:
    for _ in range(2):
        bring(store, supernet)
    store.count_clashes(3)
    store.flush()
    stats, layout = store.stats(), store.manifest().layout
    assert (stats.num_bytes, stats.num_blocks, stats.num_shards) == (sum(pack.num_bytes for pack in layout.packs), 3, 5)
    assert (stats.num_versions, stats.stored, stats.reused, stats.clashes) == (2, 5, 5, 3)
    assert stats.mirrored in (None, 2)


def test_close_drops_everything_and_another_model_can_come(
    supernet: nn.Module, elastic: nn.Module, store: ShardStore, bring: Bring
) -> None:
    bring(store, supernet)
    with pytest.raises(RegistryError, match="'net' holds another model"):
        bring(store, elastic)
    store.close()
    assert (store.versions(), store.stats().num_bytes) == ([], 0)
    assert bring(store, elastic) in (1, 2)  # numbers go on where there is a mirror
