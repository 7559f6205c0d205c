"""Blocks: the bytes of tensors at their places, zeros between them, and digests that tell every byte."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from raynas.nn import LayerChoice, state_owners
from raynas.weights import Block, Layout, digest_shards, view_tensors
from raynas.weights.blocks import block_digest, digest_bytes, fill, find_nan, make_block

Lay = Callable[[nn.Module], tuple[Layout, list[Block]]]


def digests_by_owner(layout: Layout, blocks: list[Block]) -> dict[object, str]:
    return {
        shard.owner: digest
        for pack, block in zip(layout.packs, blocks, strict=True)
        for shard, digest in zip(pack.shards, digest_shards(block, pack), strict=True)
    }


@pytest.mark.parametrize("fixture", ["supernet", "elastic", "every_kind"])
def test_every_byte_of_a_block_is_a_tensors_or_zero(request: pytest.FixtureRequest, lay: Lay, fixture: str) -> None:
    model = request.getfixturevalue(fixture)
    state = model.state_dict()
    layout, blocks = lay(model)
    for pack, expected in zip(layout.packs, blocks, strict=True):
        block = np.full(pack.num_bytes, 0xFF, np.uint8)  # as scratch memory is
        fill(block, pack, state)
        assert block.tobytes() == expected.tobytes()
        for shard in pack.shards:
            for entry in shard.tensors:
                start = shard.start + entry.offset
                flat = state[entry.name].detach().contiguous().reshape(-1).view(torch.uint8)
                assert expected[start : start + entry.num_bytes].tobytes() == flat.numpy().tobytes()
                block[start : start + entry.num_bytes] = 0
        assert not block.any()


def test_what_lies_beyond_the_pack_is_left_alone(supernet: nn.Module, lay: Lay) -> None:
    pack = lay(supernet)[0].packs[0]
    block = np.full(pack.num_bytes + 64, 0xFF, np.uint8)
    fill(block, pack, supernet.state_dict())
    assert (block[pack.num_bytes :] == 0xFF).all()


def test_blocks_are_copies(supernet: nn.Module, lay: Lay) -> None:
    layout, blocks = lay(supernet)
    before = digests_by_owner(layout, blocks)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.zero_()
    assert digests_by_owner(layout, blocks) == before


def test_the_digest_changes_with_any_byte_and_only_then(supernet: nn.Module, lay: Lay) -> None:
    before = digests_by_owner(*lay(supernet))
    assert digests_by_owner(*lay(copy.deepcopy(supernet))) == before
    owners = state_owners(supernet)
    for name, tensor in supernet.state_dict().items():
        flat = tensor.view(-1)[-1:].view(torch.uint8)  # shares memory: the last element's first byte, one bit
        flat[0] ^= 1
        after = digests_by_owner(*lay(supernet))
        assert {owner for owner in before if after[owner] != before[owner]} == {owners[name]}
        flat[0] ^= 1
    assert digests_by_owner(*lay(supernet)) == before


def test_each_byte_counts() -> None:
    block = np.arange(100, dtype=np.uint8)
    digests = {digest_bytes(block)}
    for at in range(100):
        block[at] ^= 0x80
        digests.add(digest_bytes(block))
        block[at] ^= 0x80
    assert len(digests) == 101
    assert all(len(digest) == 32 and int(digest, 16) >= 0 for digest in digests)


def test_the_digest_of_a_block_is_that_of_its_shards_in_order() -> None:
    one, other = digest_bytes(make_block(0)), digest_bytes(np.zeros(1, np.uint8))
    assert block_digest([one]) == one
    assert len({block_digest(each) for each in ([one], [other], [one, other], [other, one], [one, one])}) == 5


def test_a_shard_of_empty_tensors_has_an_empty_block(lay: Lay) -> None:
    empty = nn.Module()
    empty.register_buffer("nothing", torch.empty(0, 3))
    layout, (block,) = lay(nn.Sequential(LayerChoice([empty, nn.Identity()], key="op")))
    assert (block.nbytes, [pack.num_bytes for pack in layout.packs]) == (0, [0])
    (shard,) = layout.packs[0].shards
    assert find_nan(block, layout.packs[0]) is None
    assert view_tensors(block, shard)["0.candidates.0.nothing"].shape == (0, 3)


NAN = float("nan")


@pytest.mark.parametrize(
    ("tensors", "found"),
    [
        ([torch.ones(3), torch.tensor([1.0, NAN])], "t1"),
        ([torch.tensor([NAN]), torch.tensor([NAN])], "t0"),
        ([torch.tensor([1, 2]), torch.tensor(NAN, dtype=torch.float64)], "t1"),
        ([torch.tensor([1.0, NAN], dtype=torch.bfloat16)], "t0"),
        ([torch.tensor([1, 2]), torch.ones(2)], None),
        ([torch.tensor([float("inf"), -float("inf")]), torch.ones(2)], None),
        ([torch.full((100,), 60000.0, dtype=torch.float16)], None),
        ([torch.tensor([1]), torch.tensor([True])], None),
        ([torch.ones(3).to(torch.float8_e5m2)], None),
    ],
)
def test_which_tensor_holds_a_nan(lay: Lay, tensors: list[torch.Tensor], found: str | None) -> None:
    net = nn.Sequential(LayerChoice([nn.Identity()], key="op"))
    for number, tensor in enumerate(tensors):
        net.register_buffer(f"t{number}", tensor)
    layout, (block,) = lay(net)
    assert find_nan(block, layout.packs[0]) == found
