"""Blocks become tensors again, bit for bit, over the block's own memory."""

import torch
from torch import nn

from raynas.weights import make_shards, view_tensors


def bits(tensor: torch.Tensor) -> list[int]:
    return tensor.detach().contiguous().view(-1).view(torch.uint8).tolist()


def test_every_dtype_and_shape_comes_back_bit_for_bit(every_kind: nn.Module) -> None:
    state = every_kind.state_dict()
    found = {}
    for shard, block in make_shards(every_kind):
        block.flags.writeable = False  # as in a store
        found |= view_tensors(block, shard.tensors)
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert bits(found[name]) == bits(tensor), name


def test_parameters_share_the_block_and_buffers_do_not(supernet: nn.Module) -> None:
    buffers = {name for name, _ in supernet.named_buffers()}
    for shard, block in make_shards(supernet):
        start, end = block.ctypes.data, block.ctypes.data + block.nbytes
        for copy in (False, True):
            for name, tensor in view_tensors(block, shard.tensors, copy=copy).items():
                assert (start <= tensor.data_ptr() < end) == (name not in buffers and not copy), name
                assert not tensor.requires_grad


def test_tied_tensors_are_views_of_one_place(supernet: nn.Module) -> None:
    shard, block = next(made for made in make_shards(supernet) if made[0].owner == ())
    tensors = view_tensors(block, shard.tensors)
    assert tensors["stem.weight"].data_ptr() == tensors["head.weight"].data_ptr()
