"""The in-process registry keeps the contract; and one that does not is found out."""

from pathlib import Path

import pytest

from raynas.storage import Storage
from raynas.testing import RegistryContract
from raynas.testing.registry_contract import Net, assert_whole
from raynas.weights import LocalStore, Registry


class TestLocal(RegistryContract):
    def make_registry(self, name: str, storage_path: Path) -> Registry:
        return Registry(name, LocalStore(Storage(storage_path), keep=3))

    def restart(self, registry: Registry, storage_path: Path) -> Registry:
        return self.make_registry(registry.name, storage_path)


def test_a_byte_that_someone_wrote_is_found(tmp_path: Path) -> None:
    registry = TestLocal().make_registry("written", tmp_path)
    version = registry.publish(Net())
    assert_whole(registry, version)
    block = registry._store.read(registry._store.manifest(), [0])[0]
    block.flags.writeable = True
    block[7] ^= 1
    with pytest.raises(AssertionError):
        assert_whole(registry, version)
