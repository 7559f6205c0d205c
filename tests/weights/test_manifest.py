"""``Manifest``: survives JSON, and nothing else is read as one."""

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from raynas.errors import RegistryError
from raynas.nn import LayerChoice
from raynas.weights import Block, Layout, Manifest, digest_shards
from raynas.weights.blocks import block_digest

Lay = Callable[[nn.Module], tuple[Layout, list[Block]]]
DIGEST = "0123456789abcdef" * 2


def manifest_of(model: nn.Module, lay: Lay) -> Manifest:
    layout, blocks = lay(model)
    return Manifest(7, layout, tuple(digest_shards(block, pack) for pack, block in zip(layout.packs, blocks, strict=True)))


@pytest.mark.parametrize("fixture", ["supernet", "elastic", "every_kind"])
def test_a_manifest_survives_json(request: pytest.FixtureRequest, lay: Lay, fixture: str) -> None:
    manifest = manifest_of(request.getfixturevalue(fixture), lay)
    again = Manifest.from_dict(json.loads(json.dumps(manifest.to_dict())))
    assert (again, again.blocks, again.num_bytes) == (manifest, manifest.blocks, manifest.num_bytes)


def test_what_is_cached_is_not_pickled(supernet: nn.Module, lay: Lay) -> None:
    manifest = manifest_of(supernet, lay)
    small = pickle.dumps(manifest)
    assert manifest.blocks
    assert manifest.num_bytes
    assert manifest.layout.digest
    assert [entry.num_bytes for entry in manifest.layout.tensors.values()]
    assert len(pickle.dumps(manifest)) == len(small)
    assert pickle.loads(small) == manifest


def test_blocks_are_known_by_the_digests_of_their_shards(supernet: nn.Module, lay: Lay) -> None:
    manifest = manifest_of(supernet, lay)
    assert manifest.blocks == tuple(block_digest(digests) for digests in manifest.digests)
    assert manifest.num_bytes == {
        digest: pack.num_bytes for digest, pack in zip(manifest.blocks, manifest.layout.packs, strict=True)
    }


@pytest.mark.parametrize(
    "change",
    [
        *({"version": value} for value in ("x", None, float("inf"), float("nan"), [1])),
        *({"digests": value} for value in (None, 5, [], [[DIGEST]], [[DIGEST], [DIGEST]], [[DIGEST, DIGEST], [5]])),
        *(
            {"digests": [[DIGEST] * 2, [digest]]}
            for digest in ("", DIGEST.upper(), DIGEST[:-1], DIGEST + "0", "../" * 10 + "ab")
        ),
        *({"layout": value} for value in (None, 5, "packs", {}, [])),
    ],
)
def test_what_is_no_manifest_is_refused(lay: Lay, change: dict[str, Any]) -> None:
    net = nn.Sequential(LayerChoice([nn.Linear(1, 1), nn.Linear(1, 1)], key="op"), nn.Linear(1, 1))
    document = manifest_of(net, lay).to_dict()
    assert [len(each) for each in document["digests"]] == [2, 1]
    Manifest.from_dict({**document, "digests": [[DIGEST] * 2, [DIGEST]]})
    with pytest.raises(RegistryError, match=r"no (manifest|layout) of weights"):
        Manifest.from_dict({**document, **change})


@pytest.mark.parametrize("document", [{}, [], None, 5, "manifest", {"version": 1}, {"version": 1, "layout": {"packs": []}}])
def test_another_document_is_refused(document: Any) -> None:
    with pytest.raises(RegistryError, match=r"no (manifest|layout) of weights"):
        Manifest.from_dict(document)
