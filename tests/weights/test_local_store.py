"""``LocalStore``: what it takes from its mirror, what it leaves there, and one store for each name."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from raynas.errors import RegistryError, UnknownVersionError
from raynas.storage import Storage
from raynas.weights import LocalStore, Mirror, Registry, open_local_store


def open_registry(folder: Path, *, keep: int = 3) -> Registry:
    """As a new process would: nothing in memory."""
    return Registry("net", LocalStore(Storage(folder), keep=keep, name="net"))


def on_disk(folder: Path) -> list[int]:
    return Mirror(Storage(folder)).versions()


def blocks(folder: Path) -> set[Path]:
    return set((folder / "shards").iterdir())


@pytest.fixture
def publish(supernet: nn.Module) -> Callable[[Registry], int]:
    """Publishes the supernet with another bias of its stem each time: the first block changes, the others do not."""

    def publish(registry: Registry) -> int:
        with torch.no_grad():
            supernet.stem.bias += 1
        return registry.publish(supernet)

    return publish


Publish = Callable[[Registry], int]


def stem_bias(registry: Registry, version: int) -> torch.Tensor:
    store = registry._store
    manifest = store.manifest(version)
    entry = manifest.layout.tensors["stem.bias"]
    (block,) = store.read(manifest, [0])
    return torch.from_numpy(block[entry.offset : entry.offset + entry.num_bytes].copy()).view(torch.float32)


# --- restoring ------------------------------------------------------------------------------------------------------


def test_all_versions_come_back_and_numbers_go_on(supernet: nn.Module, publish: Publish, tmp_path: Path) -> None:
    first = open_registry(tmp_path)
    biases = []
    for _ in range(3):
        publish(first)
        biases.append(supernet.stem.bias.detach().clone())
    second = open_registry(tmp_path)
    assert second.versions() == [1, 2, 3]
    for version in (3, 1, 2):
        assert torch.equal(stem_bias(second, version), biases[version - 1])
    assert (publish(second), second.versions(), on_disk(tmp_path)) == (4, [2, 3, 4], [2, 3, 4])


def test_older_versions_are_read_when_they_are_asked_for(publish: Publish, tmp_path: Path) -> None:
    first = open_registry(tmp_path)
    publish(first)
    (old,) = (path for path in blocks(tmp_path) if path.name.startswith(first._store.manifest(1).blocks[0]))
    publish(first)
    content = old.read_bytes()
    old.write_bytes(b"damaged")
    second = open_registry(tmp_path)  # nobody has asked
    assert second.versions() == [1, 2]
    assert stem_bias(second, 2).shape == (4,)
    with pytest.raises(RegistryError, match=old.name):
        stem_bias(second, 1)
    old.write_bytes(content)
    assert stem_bias(second, 1).shape == (4,)
    old.unlink()
    assert stem_bias(second, 1).shape == (4,)  # read once, held from then on


def test_a_damaged_newest_version_falls_back_and_is_written_again(
    supernet: nn.Module, publish: Publish, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = open_registry(tmp_path)
    publish(first)
    before = blocks(tmp_path)
    publish(first)
    (path,) = blocks(tmp_path) - before
    path.write_bytes(path.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING, "raynas"):
        second = open_registry(tmp_path)
        assert (second.versions(), second.newest()) == ([1], 1)
        assert second.publish(supernet) == 3  # the very weights that were damaged
    assert [path.name in message for message in caplog.messages] == [True, True]
    assert "going back to version 1" in caplog.messages[0]
    assert "is written again" in caplog.messages[1]
    assert on_disk(tmp_path) == [1, 3]
    assert torch.equal(stem_bias(open_registry(tmp_path), 3), supernet.stem.bias)


def test_an_older_version_without_a_manifest_that_can_be_read_is_left_out(publish: Publish, tmp_path: Path) -> None:
    first = open_registry(tmp_path)
    for _ in range(3):
        publish(first)
    (tmp_path / "versions" / "000002.json").write_text("{}")
    assert open_registry(tmp_path).versions() == [1, 3]


def test_no_whole_version_is_an_error(publish: Publish, tmp_path: Path) -> None:
    publish(open_registry(tmp_path))
    for path in blocks(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(RegistryError, match=f"no version in {tmp_path} is whole: version 1: "):
        open_registry(tmp_path)


# --- writing --------------------------------------------------------------------------------------------------------


def test_what_is_not_in_the_mirror_was_not_published(publish: Publish, tmp_path: Path) -> None:
    first, second = open_registry(tmp_path), open_registry(tmp_path)
    assert publish(first) == 1
    publish(second)
    with pytest.raises(RegistryError, match="another run writes to"):
        publish(first)
    assert first.versions() == [1]
    assert torch.equal(stem_bias(first, first.newest()), stem_bias(first, 1))


def test_a_reader_leaves_alone_what_others_have_written(publish: Publish, tmp_path: Path) -> None:
    writer = open_registry(tmp_path)
    publish(writer)
    publish(writer)
    reader = open_registry(tmp_path, keep=1)
    assert reader.versions() == [2]
    with reader.lease():
        publish(writer)
    assert on_disk(tmp_path) == [1, 2, 3]
    before = blocks(tmp_path)
    fenced, other = writer, open_registry(tmp_path)
    lease = fenced.lease(1)
    publish(other)
    publish(other)
    lease.close()
    fenced.delete(2)  # asked for by hand
    assert on_disk(tmp_path) == [3, 4, 5]
    assert len(blocks(tmp_path) - before) == 2


def test_what_is_dropped_leaves_the_mirror(publish: Publish, tmp_path: Path) -> None:
    registry = open_registry(tmp_path, keep=2)
    publish(registry)
    first = blocks(tmp_path)
    lease = registry.lease(1)
    for _ in range(3):
        publish(registry)
    assert on_disk(tmp_path) == [1, 3, 4]
    lease.close()
    assert on_disk(tmp_path) == [3, 4]
    assert len(first - blocks(tmp_path)) == 1  # the stem's; the others are needed
    registry.delete(3)
    assert (on_disk(tmp_path), registry.versions()) == ([4], [4])
    with pytest.raises(RegistryError, match="version 4 is the newest one"):
        registry.delete(4)
    assert (open_registry(tmp_path).versions(), publish(registry)) == ([4], 5)


def test_close_leaves_the_mirror(publish: Publish, tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    assert [publish(registry), publish(registry)] == [1, 2]
    lease = registry.lease(1)
    registry.close()
    lease.close()
    assert (registry.versions(), on_disk(tmp_path)) == ([], [1, 2])
    assert registry.stats().mirrored == 2
    assert publish(registry) == 3
    assert open_registry(tmp_path).newest() == 3


def test_a_version_that_was_dropped_is_not_read_from_the_mirror(publish: Publish, tmp_path: Path) -> None:
    store = LocalStore(Storage(tmp_path))
    registry = Registry("net", store)
    publish(registry)
    manifest = store.manifest()
    registry.close()
    with pytest.raises(UnknownVersionError, match="version 1 was dropped"):
        store.read(manifest, [0])


# --- names ----------------------------------------------------------------------------------------------------------


def test_a_name_is_one_store_in_this_process() -> None:
    assert open_local_store("test-store-a") is open_local_store("test-store-a")
    assert open_local_store("test-store-a") is not open_local_store("test-store-b")


def test_an_empty_store_takes_its_weights_from_other_storage(publish: Publish, tmp_path: Path) -> None:
    publish(open_registry(tmp_path))
    empty = open_local_store("test-store-c")
    store = open_local_store("test-store-c", Storage(tmp_path))
    assert store is not empty
    assert store.versions() == [1]
    with pytest.raises(RegistryError, match=rf"a registry 'test-store-c' already, and it is mirrored in {tmp_path}: "):
        open_local_store("test-store-c", Storage(tmp_path / "other"))  # it would not be mirrored there
    assert open_local_store("test-store-c", Storage(tmp_path / "other"), share=True) is store
    assert open_local_store("test-store-c") is store
    assert open_local_store("test-store-c") is store
