"""``LocalStore``: what is in it never changes."""

import pytest
from torch import nn

from raynas.errors import UnknownVersionError
from raynas.weights import LocalStore, local_store, make_shards


def commit(store: LocalStore, model: nn.Module, version: int | None = None) -> int:
    made = make_shards(model)
    return store.commit([shard for shard, _ in made], {shard.digest: block for shard, block in made}, version=version)


def test_versions_count_on_from_the_newest(supernet: nn.Module) -> None:
    store = LocalStore()
    assert store.versions() == []
    assert [commit(store, supernet), commit(store, supernet, 7), commit(store, supernet)] == [1, 7, 8]
    assert store.versions() == [1, 7, 8]
    assert store.manifest(7).version == 7


def test_blocks_are_read_in_the_order_asked_for_and_cannot_be_written(supernet: nn.Module) -> None:
    store = LocalStore()
    made = make_shards(supernet)
    commit(store, supernet)
    digests = [shard.digest for shard, _ in reversed(made)]
    blocks = store.read(1, digests)
    assert [block.tobytes() for block in blocks] == [block.tobytes() for _, block in reversed(made)]
    for block in blocks:
        with pytest.raises(ValueError, match="read-only"):
            block[0] = 1


def test_known_tells_which_blocks_are_there(supernet: nn.Module) -> None:
    store = LocalStore()
    digests = [shard.digest for shard, _ in make_shards(supernet)]
    assert store.known(digests) == set()
    commit(store, supernet)
    assert store.known([*digests, "0" * 32]) == set(digests)


def test_an_unknown_version_lists_what_there_is(supernet: nn.Module) -> None:
    store = LocalStore()
    commit(store, supernet)
    with pytest.raises(UnknownVersionError, match=r"version 3 .* it has \[1\]"):
        store.manifest(3)


def test_close_drops_everything(supernet: nn.Module) -> None:
    store = LocalStore()
    commit(store, supernet)
    store.close()
    assert store.versions() == []
    assert store.known([shard.digest for shard, _ in make_shards(supernet)]) == set()


def test_a_name_is_one_store_in_this_process() -> None:
    assert local_store("test-store-a") is local_store("test-store-a")
    assert local_store("test-store-a") is not local_store("test-store-b")
