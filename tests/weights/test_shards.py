"""Shards: every weight once, in the shard of its candidate, at an aligned place."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from raynas.weights.shards import ALIGNMENT
from torch import nn

from raynas.errors import RegistryError
from raynas.nn import LayerChoice, state_owners
from raynas.weights import Manifest, digest_block, make_shards


@pytest.mark.parametrize("fixture", ["supernet", "every_kind"])
def test_every_name_of_the_state_dict_is_in_the_shard_of_its_owner(request: pytest.FixtureRequest, fixture: str) -> None:
    model = request.getfixturevalue(fixture)
    found = [(entry.name, shard.owner) for shard, _ in make_shards(model) for entry in shard.tensors]
    assert sorted(name for name, _ in found) == sorted(model.state_dict())
    assert dict(found) == state_owners(model)
    entries = Manifest(1, tuple(shard for shard, _ in make_shards(model))).tensors()
    buffers = {name for name, _ in model.named_buffers()}
    for name, tensor in model.state_dict().items():
        assert (entries[name].shape, entries[name].dtype) == (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        assert entries[name].is_buffer == (name in buffers)


def test_owners_are_innermost_candidates_with_weights(supernet: nn.Module) -> None:
    owners = [shard.owner for shard, _ in make_shards(supernet)]
    outer = ("outer", (1,))
    assert sorted(owners) == [(), (("outer", (0,)),), (outer,), (outer, ("inner", (0,))), (outer, ("inner", (1,)))]


def test_places_are_aligned_and_do_not_overlap(every_kind: nn.Module) -> None:
    for shard, block in make_shards(every_kind):
        assert (block.nbytes, block.dtype) == (shard.num_bytes, np.uint8)
        end = 0
        for entry in sorted(shard.tensors, key=lambda entry: entry.offset):
            num_bytes = getattr(torch, entry.dtype).itemsize * torch.Size(entry.shape).numel()
            assert entry.offset % ALIGNMENT == 0
            assert end <= entry.offset or not num_bytes
            end = max(end, entry.offset + num_bytes)
        assert end <= shard.num_bytes


def test_tied_tensors_are_stored_once(supernet: nn.Module) -> None:
    shard = next(shard for shard, _ in make_shards(supernet) if shard.owner == ())
    at = {entry.name: entry.offset for entry in shard.tensors}
    assert at["stem.weight"] == at["head.weight"]
    assert len(set(at.values())) == 3
    assert shard.num_bytes == 3 * ALIGNMENT


def test_a_shared_block_is_stored_once() -> None:
    block = nn.Linear(64, 64)
    tied = nn.Sequential(LayerChoice([block, nn.Sequential(block)], key="op"))
    ((shard, _),) = make_shards(tied)
    assert shard.owner == ()
    assert shard.num_bytes == block.weight.nbytes + block.bias.nbytes


def test_the_digest_changes_with_any_byte_and_only_then(supernet: nn.Module) -> None:
    before = {shard.owner: shard.digest for shard, _ in make_shards(supernet)}
    assert {shard.owner: shard.digest for shard, _ in make_shards(copy.deepcopy(supernet))} == before
    state = supernet.state_dict()
    owners = state_owners(supernet)
    for name, tensor in state.items():
        flat = tensor.view(-1)[-1:].view(torch.uint8)  # shares memory: the last element's first byte, one bit
        flat[0] ^= 1
        after = {shard.owner: shard.digest for shard, _ in make_shards(supernet)}
        assert {owner for owner in before if after[owner] != before[owner]} == {owners[name]}
        flat[0] ^= 1
    assert {shard.owner: shard.digest for shard, _ in make_shards(supernet)} == before


def test_blocks_are_copies(supernet: nn.Module) -> None:
    made = make_shards(supernet)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.zero_()
    assert all(digest_block(block) == shard.digest for shard, block in made)


def test_a_manifest_survives_json(every_kind: nn.Module) -> None:
    manifest = Manifest(7, tuple(shard for shard, _ in make_shards(every_kind)))
    assert Manifest.from_dict(manifest.to_dict()) == manifest


@pytest.mark.parametrize("document", [{}, [], {"version": 1}, {"version": "x", "shards": []}, {"version": 1, "shards": [{}]}])
def test_what_is_no_manifest_is_refused(document: Any) -> None:
    with pytest.raises(RegistryError, match="no manifest"):
        Manifest.from_dict(document)


class Labelled(nn.Linear):
    def get_extra_state(self) -> dict[str, int]:
        return {"label": 1}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Nothing to keep."""


def test_what_is_not_dense_or_no_tensor_is_refused() -> None:
    sparse = nn.Module()
    sparse.register_buffer("mask", torch.eye(3).to_sparse())
    for layer, name in ((sparse, r"0\.candidates\.0\.mask"), (Labelled(2, 2), r"0\.candidates\.0\._extra_state")):
        with pytest.raises(RegistryError, match=f"'{name}' is "):
            make_shards(nn.Sequential(LayerChoice([layer], key="op")))
