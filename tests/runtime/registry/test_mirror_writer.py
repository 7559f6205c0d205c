"""What is in the mirror while and after versions come and go, and the process that writes them is killed."""

from pathlib import Path

import pytest
import torch

import raynas
from raynas.storage import Storage
from raynas.testing.registry_contract import Net
from raynas.weights import Mirror
from tests.runtime.killing import kill_actor

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


@pytest.mark.nightly
def test_no_number_is_used_twice_whatever_became_of_the_mirror(tmp_path: Path) -> None:
    registry, net = raynas.WeightRegistry("numbered", tmp_path), Net()
    registry.publish(net)
    registry.flush()
    shards = (tmp_path / "shards").rename(tmp_path / "elsewhere")
    (tmp_path / "shards").write_text("no folder")  # so no block can be written
    for each in net.parameters():
        torch.nn.init.ones_(each)
    last = [registry.publish(net) for _ in range(3)][-1]
    kill_actor(registry)
    (tmp_path / "shards").unlink()
    shards.rename(tmp_path / "shards")
    assert registry.versions() == [1]
    assert registry.publish(net) > last == 4
    registry.flush()
    last = registry.newest()
    kill_actor(registry)
    assert registry.publish(net) == last + 1  # after a flush there is no gap


def test_versions_in_the_mirror_are_whole_while_others_leave_it(tmp_path: Path) -> None:
    """Contents come back after they were dropped, while leases end, with the same block files as before."""
    registry, nets = raynas.WeightRegistry("tidied", tmp_path, keep=1), [Net() for _ in range(3)]
    mirror, leases = Mirror(Storage(tmp_path)), []
    for number in range(60):
        version = registry.publish(nets[number % 3])
        leases.append(registry.lease(version))
        if number % 7 == 6:
            while leases:
                leases.pop().close()
    while leases:
        leases.pop().close()
    registry.flush()
    assert mirror.versions() == [60] == registry.versions()
    manifest = mirror.manifest(60)
    for pack, digests in zip(manifest.layout.packs, manifest.digests, strict=True):
        mirror.read(pack, digests)
    assert len(list((tmp_path / "shards").iterdir())) == len(manifest.layout.packs)
