"""The mirror: what is written is read back in a fresh registry, and damage is named."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from raynas.errors import RegistryError, UnknownVersionError
from raynas.nn import LayerChoice, generate_search_space
from raynas.weights import LocalStore, Manifest, Registry, make_shards
from raynas.weights.mirror import Mirror


def open_registry(folder: Path) -> Registry:
    """As a new process would: nothing in memory."""
    return Registry("net", LocalStore(), folder)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def tiny() -> nn.Module:
    return nn.Sequential(LayerChoice([nn.Linear(2, 1)], key="op"))


def test_weights_come_back_and_versions_go_on(supernet: nn.Module, tmp_path: Path) -> None:
    first = open_registry(tmp_path)
    first.publish(supernet)
    first.publish(supernet)
    second = open_registry(tmp_path)
    assert second.versions() == [2]
    state = supernet.state_dict()
    for architecture in generate_search_space(supernet).enumerate():
        tensors = second.fetch(architecture)
        assert tensors.keys() == first.fetch(architecture).keys()
        assert all(torch.equal(tensor, state[name]) for name, tensor in tensors.items())
    assert second.publish(supernet) == 3
    assert open_registry(tmp_path).versions() == [3]
    with pytest.raises(UnknownVersionError, match=r"version 1 .* it has \[2, 3\]"):
        second.fetch(architecture, version=1)


def test_every_dtype_comes_back_bit_for_bit(every_kind: nn.Module, tmp_path: Path) -> None:
    open_registry(tmp_path).publish(every_kind)
    store = LocalStore()
    Registry("net", store, tmp_path)
    made = make_shards(every_kind)
    blocks = store.read(1, [shard.digest for shard, _ in made])
    assert [block.tobytes() for block in blocks] == [block.tobytes() for _, block in made]


def test_only_what_changed_is_written_again(supernet: nn.Module, tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    registry.publish(supernet)
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path)}
    with torch.no_grad():
        supernet.outer.candidates[0][0].weight += 1
    registry.publish(supernet)
    new = [path.relative_to(tmp_path).parts[0] for path in files(tmp_path) if path not in before]
    assert new == ["shards", "versions"]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_candidates_with_equal_bytes_come_back_under_their_own_names(tmp_path: Path) -> None:
    net = nn.Sequential(LayerChoice([nn.BatchNorm1d(4), nn.Sequential(nn.BatchNorm1d(4))], key="op"))
    open_registry(tmp_path).publish(net)
    assert len(list((tmp_path / "shards").iterdir())) == 2
    again = open_registry(tmp_path)
    names = [name for one in generate_search_space(net).enumerate() for name in again.fetch(one)]
    assert names == list(net.state_dict())


def test_shards_are_files_that_others_can_read(supernet: nn.Module, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    open_registry(tmp_path).publish(supernet)
    found: dict[str, torch.Tensor] = {}
    for path in (tmp_path / "shards").glob("*.safetensors"):
        found |= load_file(path)
    state = supernet.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.items())


def test_a_byte_flipped_anywhere_in_a_shard_is_found(tmp_path: Path) -> None:
    open_registry(tmp_path).publish(tiny())
    (path,) = (tmp_path / "shards").iterdir()
    mirror = Mirror(tmp_path)
    (shard,) = mirror.manifest(1).shards
    content, block = path.read_bytes(), mirror.read(shard)
    header, messages = 8 + int.from_bytes(content[:8], "little"), []
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        try:
            again = mirror.read(shard)
        except RegistryError as error:
            messages.append(str(error))
        else:  # a byte that says nothing, such as the blanks that pad the header
            assert again.tobytes() == block.tobytes()
            assert at < header
    assert len(messages) > len(content) // 2
    assert all(str(path) in message for message in messages)


@pytest.mark.parametrize("kind", ["shards", "versions"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage"])
def test_a_damaged_file_is_named(supernet: nn.Module, tmp_path: Path, kind: str, damage: str) -> None:
    open_registry(tmp_path).publish(supernet)
    path = next((tmp_path / kind).iterdir())
    path.write_bytes({"truncated": path.read_bytes()[:-3], "empty": b"", "garbage": b"\xff\xfe{}" * 9}[damage])
    with pytest.raises(RegistryError, match=path.name):
        open_registry(tmp_path)


def test_a_missing_shard_is_named(supernet: nn.Module, tmp_path: Path) -> None:
    open_registry(tmp_path).publish(supernet)
    path = next((tmp_path / "shards").iterdir())
    path.unlink()
    with pytest.raises(RegistryError, match=path.name):
        open_registry(tmp_path)


def test_a_shard_of_other_tensors_is_named(tmp_path: Path) -> None:
    open_registry(tmp_path).publish(tiny())
    path = next((tmp_path / "shards").iterdir())
    other = nn.Sequential(LayerChoice([nn.Linear(3, 1)], key="op"))
    open_registry(tmp_path / "other").publish(other)
    next((tmp_path / "other" / "shards").iterdir()).replace(path)
    with pytest.raises(RegistryError, match=rf"{path.name} does not hold the tensor '0\.candidates\.0\.weight'"):
        open_registry(tmp_path)


def test_a_version_that_was_not_finished_is_invisible(supernet: nn.Module, tmp_path: Path) -> None:
    open_registry(tmp_path).publish(supernet)
    manifest = next((tmp_path / "versions").iterdir())
    document = json.loads(manifest.read_bytes())
    (tmp_path / "versions" / ".000002.json.4711").write_text(json.dumps({**document, "version": 2})[:50])
    (tmp_path / "shards" / ".0123.safetensors.4711").write_bytes(b"half")
    registry = open_registry(tmp_path)
    assert registry.versions() == [1]
    assert registry.publish(supernet) == 2


def test_nothing_is_left_beside_and_nothing_is_made_by_opening(supernet: nn.Module, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    registry = open_registry(folder)
    assert not folder.exists()
    registry.publish(supernet)
    assert [path.name for path in files(folder) if path.name.startswith(".")] == []
    assert Manifest.from_dict(json.loads((folder / "versions" / "000001.json").read_bytes())).version == 1


def test_a_store_with_weights_is_not_filled_from_the_mirror(supernet: nn.Module, tmp_path: Path) -> None:
    store = LocalStore()
    first = Registry("net", store, tmp_path)
    first.publish(supernet)
    first.publish(supernet)
    assert Registry("net", store, tmp_path).versions() == [1, 2]
