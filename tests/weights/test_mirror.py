"""The mirror: what is written is read back, damage is named, and one process at a time adds versions."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from raynas.errors import RegistryError
from raynas.nn import LayerChoice
from raynas.storage import Storage
from raynas.weights import Block, Layout, Manifest, Mirror, digest_shards

Lay = Callable[[nn.Module], tuple[Layout, list[Block]]]


@pytest.fixture
def write(lay: Lay) -> Callable[..., Manifest]:
    """Writes a model's weights as a version, and gives its manifest."""

    def write(mirror: Mirror, model: nn.Module, version: int = 1) -> Manifest:
        layout, blocks = lay(model)
        digests = tuple(digest_shards(block, pack) for pack, block in zip(layout.packs, blocks, strict=True))
        for pack, each, block in zip(layout.packs, digests, blocks, strict=True):
            mirror.write_block(pack, each, block)
        manifest = Manifest(version, layout, digests)
        mirror.write_manifest(manifest)
        return manifest

    return write


Write = Callable[..., Manifest]


def open_mirror(folder: Path) -> Mirror:
    """As a new process would."""
    return Mirror(Storage(folder))


def shards(folder: Path) -> list[Path]:
    return sorted((folder / "shards").iterdir())


def tiny(size: int = 2) -> nn.Module:
    return nn.Sequential(LayerChoice([nn.Linear(size, 1)], key="op"))


# --- back and forth -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fixture", ["supernet", "elastic", "every_kind"])
def test_weights_come_back_bit_for_bit(
    request: pytest.FixtureRequest, lay: Lay, write: Write, tmp_path: Path, fixture: str
) -> None:
    model = request.getfixturevalue(fixture)
    manifest = write(open_mirror(tmp_path), model, 7)
    mirror = open_mirror(tmp_path)
    assert (mirror.versions(), mirror.manifest(7)) == ([7], manifest)
    found = mirror.read_newest()
    assert found is not None
    assert found[0] == manifest
    blocks = [found[1][digest] for digest in manifest.blocks]
    assert [block.tobytes() for block in blocks] == [block.tobytes() for block in lay(model)[1]]


def test_nothing_is_made_by_opening(tmp_path: Path) -> None:
    mirror = open_mirror(tmp_path / "net")
    assert (mirror.versions(), mirror.read_newest(), mirror.is_claimed()) == ([], None, False)
    assert not (tmp_path / "net").exists()


def test_files_have_their_names_and_nothing_is_left_beside(supernet: nn.Module, write: Write, tmp_path: Path) -> None:
    manifest = write(open_mirror(tmp_path), supernet)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert [name for name in names if not name.startswith("shards/")] == ["versions/000001.json", "writer"]
    assert sorted(path.name.split("-")[0] for path in shards(tmp_path)) == sorted(manifest.blocks)
    assert all(path.suffix == ".safetensors" for path in shards(tmp_path))
    assert Manifest.from_dict(json.loads((tmp_path / "versions" / "000001.json").read_bytes())) == manifest


def test_blocks_are_files_that_others_can_read(supernet: nn.Module, write: Write, tmp_path: Path) -> None:
    write(open_mirror(tmp_path), supernet)
    found: dict[str, torch.Tensor] = {}
    for path in shards(tmp_path):
        found |= load_file(path)
    state = supernet.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.items())


def test_only_the_packs_that_changed_are_written_again(supernet: nn.Module, write: Write, tmp_path: Path) -> None:
    for mirror in (open_mirror(tmp_path), open_mirror(tmp_path)):  # who wrote them and who finds them there
        write(mirror, supernet)
    before = {path: path.stat().st_mtime_ns for path in shards(tmp_path)}
    with torch.no_grad():
        supernet.outer.candidates[0][0].weight += 1
    write(open_mirror(tmp_path), supernet, 2)
    assert len(shards(tmp_path)) == len(before) + 1
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_equal_bytes_under_other_names_are_other_files(write: Write, tmp_path: Path) -> None:
    net = nn.Sequential(LayerChoice([nn.BatchNorm1d(4)], key="a"), LayerChoice([nn.BatchNorm1d(4)], key="b"))
    manifest = write(open_mirror(tmp_path), net)
    assert manifest.blocks[0] == manifest.blocks[1]
    names = [name for path in shards(tmp_path) for name in load_file(path)]
    assert (len(shards(tmp_path)), sorted(names)) == (2, sorted(net.state_dict()))
    for pack, digests in zip(manifest.layout.packs, manifest.digests, strict=True):
        assert digest_shards(open_mirror(tmp_path).read(pack, digests), pack) == digests


def test_it_may_lie_in_an_object_store(supernet: nn.Module, write: Write) -> None:
    storage = Storage("mock:///net")
    system, root = storage._open()
    for folder in ("shards", "versions"):
        system.create_dir(f"{root}/{folder}")  # object stores need no folders, pyarrow's memory does
    manifest = write(Mirror(storage), supernet)
    found = Mirror(storage).read_newest()
    assert found is not None
    assert found[0] == manifest


# --- damage ---------------------------------------------------------------------------------------------------------


def test_a_byte_flipped_anywhere_in_a_block_is_found(write: Write, tmp_path: Path) -> None:
    manifest = write(open_mirror(tmp_path), tiny())
    mirror, (path,) = open_mirror(tmp_path), shards(tmp_path)
    (pack,), (digests,) = manifest.layout.packs, manifest.digests
    content, block = path.read_bytes(), mirror.read(pack, digests)
    header, messages = 8 + int.from_bytes(content[:8], "little"), []
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        try:
            again = mirror.read(pack, digests)
        except RegistryError as error:
            messages.append(str(error))
        else:  # a byte that says nothing, such as the blanks that pad the header
            assert again.tobytes() == block.tobytes()
            assert at < header
    assert len(messages) > len(content) // 2
    assert all(str(path) in message for message in messages)


def damage(path: Path, kind: str) -> None:
    if kind == "missing":
        path.unlink()
    else:
        path.write_bytes({"truncated": path.read_bytes()[:-3], "empty": b"", "garbage": b"\xff\xfe{}" * 9}[kind])


@pytest.mark.parametrize("folder", ["shards", "versions"])
@pytest.mark.parametrize("kind", ["truncated", "empty", "garbage", "missing"])
def test_a_damaged_file_is_named_and_the_last_whole_version_is_read(
    supernet: nn.Module, write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture, folder: str, kind: str
) -> None:
    mirror = open_mirror(tmp_path)
    first = write(mirror, supernet)
    before = set((tmp_path / folder).iterdir())
    with torch.no_grad():
        supernet.stem.bias += 1
    write(mirror, supernet, 2)
    (path,) = set((tmp_path / folder).iterdir()) - before
    damage(path, kind)
    with caplog.at_level(logging.WARNING, "raynas"):
        found = open_mirror(tmp_path).read_newest()
    assert found is not None
    assert found[0] == first
    if (folder, kind) == ("versions", "missing"):
        assert caplog.messages == []  # as if it had never been
    else:
        (message,) = caplog.messages
        assert message.startswith("going back to version 1 of the weights; version 2: ")
        assert path.name in message
    for each in before:
        damage(each, "garbage")
    with pytest.raises(RegistryError, match=rf"no version in {tmp_path} is whole: .*version 1: .*{before.pop().parent}"):
        open_mirror(tmp_path).read_newest()


def test_a_block_of_other_tensors_is_named(write: Write, tmp_path: Path) -> None:
    manifest = write(open_mirror(tmp_path), tiny())
    write(open_mirror(tmp_path / "other"), tiny(3))
    (path,), (other,) = shards(tmp_path), shards(tmp_path / "other")
    other.replace(path)
    with pytest.raises(RegistryError, match=rf"{path.name} does not hold the tensor '0\.candidates\.0\.weight'"):
        open_mirror(tmp_path).read(manifest.layout.packs[0], manifest.digests[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: {**document, "version": 3}, "is of version 3"),
        (lambda document: {**document, "digests": []}, "cannot be read: .* other digests than shards"),
        (lambda document: [document], "cannot be read: it holds no object"),
        (lambda document: None, "cannot be read: it holds no object"),
    ],
)
def test_a_manifest_that_says_something_else_is_named(
    write: Write, tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    write(open_mirror(tmp_path), tiny(), 2)
    path = tmp_path / "versions" / "000002.json"
    path.write_text(json.dumps(change(json.loads(path.read_bytes()))))
    with pytest.raises(RegistryError, match=rf"{path} {message}"):
        open_mirror(tmp_path).manifest(2)


def test_a_version_that_was_not_finished_is_invisible(supernet: nn.Module, write: Write, tmp_path: Path) -> None:
    manifest = write(open_mirror(tmp_path), supernet)
    content = (tmp_path / "versions" / "000001.json").read_bytes()
    (tmp_path / "versions" / ".000002.json.4711").write_bytes(content[:50])
    (tmp_path / "shards" / ".0123.safetensors.4711").write_bytes(b"half")
    (tmp_path / "versions" / "notes.json").write_text("somebody else's")
    mirror = open_mirror(tmp_path)
    assert mirror.versions() == [1]
    assert mirror.read_newest()[0] == manifest  # type: ignore[index]


@pytest.mark.parametrize("kind", ["truncated", "empty", "garbage", "missing"])
def test_a_damaged_block_is_written_again(
    supernet: nn.Module, write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    write(open_mirror(tmp_path), supernet)
    path = shards(tmp_path)[0]
    content = path.read_bytes()
    damage(path, kind)
    with caplog.at_level(logging.WARNING, "raynas"):
        write(open_mirror(tmp_path), supernet, 2)
    assert path.read_bytes() == content
    assert caplog.messages == ([f"{path} was damaged and is written again"] if kind != "missing" else [])


# --- who writes, and what is deleted --------------------------------------------------------------------------------


def test_who_claims_it_later_fences_the_earlier_one(supernet: nn.Module, write: Write, tmp_path: Path) -> None:
    first, second = open_mirror(tmp_path), open_mirror(tmp_path)
    write(first, supernet, 1)
    second.claim()
    assert (first.is_claimed(), second.is_claimed()) == (False, True)
    with pytest.raises(RegistryError, match=rf"another run writes to {tmp_path} now; version 2 is not added to it"):
        write(first, supernet, 2)
    write(second, supernet, 3)
    assert open_mirror(tmp_path).versions() == [1, 3]
    first.claim()
    write(first, supernet, 4)
    assert open_mirror(tmp_path).versions() == [1, 3, 4]


def test_a_number_that_was_given_away_is_not_given_away_again(supernet: nn.Module, write: Write, tmp_path: Path) -> None:
    mirror = open_mirror(tmp_path)
    assert mirror.next_version() == 1
    mirror.reserve(5)
    assert open_mirror(tmp_path).next_version() == 5
    write(mirror, supernet, 7)
    assert open_mirror(tmp_path).next_version() == 8
    (tmp_path / "reserved").write_text("nine")
    assert open_mirror(tmp_path).next_version() == 8
    open_mirror(tmp_path).claim()
    with pytest.raises(RegistryError, match=rf"another run writes to {tmp_path} now; version 19 is not added to it"):
        mirror.reserve(20)


def test_a_version_is_forgotten_with_what_no_other_one_needs(supernet: nn.Module, write: Write, tmp_path: Path) -> None:
    mirror = open_mirror(tmp_path)
    manifests, files = [], []
    for version in (1, 2, 3):
        manifests.append(write(mirror, supernet, version))
        files.append(set(shards(tmp_path)).difference(*files))
        with torch.no_grad():
            supernet.stem.bias += 1
    assert [len(each) for each in files] == [3, 1, 1]
    mirror.forget(2, [manifests[0], manifests[2]])
    assert set(shards(tmp_path)) == files[0] | files[2]
    mirror.forget(1, [manifests[2]])
    assert (mirror.versions(), len(shards(tmp_path))) == ([3], 3)
    assert open_mirror(tmp_path).read_newest()[0] == manifests[2]  # type: ignore[index]
    mirror.forget(3, [])
    mirror.forget(3, [])
    assert (mirror.versions(), shards(tmp_path)) == ([], [])
    write(mirror, supernet, 4)  # it knows that its blocks are gone
    assert open_mirror(tmp_path).read_newest() is not None


def test_a_damaged_version_is_forgotten_and_its_blocks_stay(supernet: nn.Module, write: Write, tmp_path: Path) -> None:
    mirror = open_mirror(tmp_path)
    write(mirror, supernet)
    damage(tmp_path / "versions" / "000001.json", "garbage")
    mirror.forget(1, [])
    assert (mirror.versions(), len(shards(tmp_path))) == ([], 3)  # nobody knows whose they are
