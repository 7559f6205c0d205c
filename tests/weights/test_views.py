"""Blocks become tensors again, bit for bit, over the block's own memory."""

import gc
import threading
import warnings
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from raynas.weights import Block, Layout, view_tensors

Lay = Callable[[nn.Module], tuple[Layout, list[Block]]]


def bits(tensor: torch.Tensor) -> list[int]:
    return tensor.detach().contiguous().view(-1).view(torch.uint8).tolist()


@pytest.mark.parametrize("copy", [False, True])
def test_every_dtype_and_shape_comes_back_bit_for_bit(every_kind: nn.Module, lay: Lay, copy: bool) -> None:
    state = every_kind.state_dict()
    layout, blocks = lay(every_kind)
    found = {}
    for pack, block in zip(layout.packs, blocks, strict=True):
        block.flags.writeable = False  # as in a store
        for shard in pack.shards:
            found |= view_tensors(block, shard, copy=copy)
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert bits(found[name]) == bits(tensor), name


def test_parameters_share_the_block_and_buffers_do_not(supernet: nn.Module, lay: Lay) -> None:
    buffers = {name for name, _ in supernet.named_buffers()}
    layout, blocks = lay(supernet)
    for pack, block in zip(layout.packs, blocks, strict=True):
        for shard in pack.shards:
            start, end = block.ctypes.data + shard.start, block.ctypes.data + shard.end
            for copy in (False, True):
                for name, tensor in view_tensors(block, shard, copy=copy).items():
                    assert (start <= tensor.data_ptr() < end) == (name not in buffers and not copy), name
                    assert not tensor.requires_grad


def test_tied_tensors_are_views_of_one_place(supernet: nn.Module, lay: Lay) -> None:
    layout, blocks = lay(supernet)
    tensors = view_tensors(blocks[0], layout.packs[0].shards[0])
    assert tensors["stem.weight"].data_ptr() == tensors["head.weight"].data_ptr()


def test_a_block_stays_as_long_as_a_tensor_over_it(supernet: nn.Module, lay: Lay) -> None:
    class Watched(np.ndarray):  # type: ignore[type-arg]
        pass

    layout, blocks = lay(supernet)
    block = blocks[0].view(Watched)
    watch, tensor = weakref.ref(block), view_tensors(block, layout.packs[0].shards[0])["stem.weight"]
    del block, blocks
    gc.collect()
    assert watch() is not None
    assert torch.equal(tensor, supernet.stem.weight)
    del tensor
    gc.collect()
    assert watch() is None


def test_threads_that_read_at_once_see_no_warning(supernet: nn.Module, lay: Lay) -> None:
    layout, blocks = lay(supernet)
    blocks[0].flags.writeable = False
    filters, problems = list(warnings.filters), []

    def read() -> None:
        try:
            for _ in range(50):
                view_tensors(blocks[0], layout.packs[0].shards[0])
        except Warning as warning:
            problems.append(warning)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (problems, warnings.filters) == ([], filters)
