import random

import pytest
import torch
from torch import nn

import raynas
from raynas.errors import OptionError
from raynas.mutators import RandomMutator
from raynas.nn import find_mutables
from raynas.zoo import ShuffleNet
from raynas.zoo.shufflenet import ShuffleBlock


def tiny() -> ShuffleNet:
    torch.manual_seed(0)
    return ShuffleNet(4, ((16, 2), (24, 2)), stem_channels=8, stem_stride=1, head_channels=32)


def test_the_space_of_the_paper_has_20_blocks_of_four_candidates() -> None:
    with torch.device("meta"):
        space = raynas.generate_search_space(ShuffleNet())
    assert len(space) == 20
    assert space["stage3.block3"].candidates == ("shuffle_3x3", "shuffle_5x5", "shuffle_7x7", "xception")


def test_shufflenet_v2_is_one_of_the_architectures_around_its_channels() -> None:
    with torch.device("meta"):
        net = ShuffleNet(1000, ((116, 4), (232, 8), (464, 4)), stem_channels=24)  # Ma et al., table 5, 1x
        keys = raynas.generate_search_space(net)
        plain = raynas.freeze(net, {key: {"_value": "shuffle_3x3"} for key in keys})
    assert sum(parameter.numel() for parameter in plain.parameters()) == 2_278_604  # torchvision's shufflenet_v2_x1_0
    assert not find_mutables(plain)


@pytest.mark.parametrize("name", ["shuffle_3x3", "shuffle_7x7", "xception"])
def test_parameters_of_a_block(name: str) -> None:
    block = tiny().blocks[1][name]
    half = 8
    kernel = {"shuffle_3x3": 9, "shuffle_7x7": 49, "xception": 9}[name]
    depthwise, pointwise, norm = half * kernel, half * half, 2 * half
    expected = depthwise + 2 * pointwise + 3 * norm if name != "xception" else 3 * (depthwise + pointwise + 2 * norm)
    assert sum(parameter.numel() for parameter in block.parameters()) == expected


def test_half_of_the_channels_pass_a_block_unchanged_and_both_halves_are_interleaved() -> None:
    x = torch.randn(1, 8, 4, 4)
    output = ShuffleBlock(8, 8, 1)(x)
    torch.testing.assert_close(output[:, 0::2], x[:, :4], rtol=0, atol=0)
    assert ShuffleBlock(8, 12, 2)(x).shape == (1, 12, 2, 2)


def test_frozen_models_compute_what_the_supernet_computes() -> None:
    net = tiny().double().eval()
    mutator, images = RandomMutator(net, seed=0), torch.randn(2, 3, 16, 16, dtype=torch.float64)
    for seed in range(5):
        architecture = mutator.space.sample(random.Random(seed))
        mutator.apply_architecture(architecture)
        torch.testing.assert_close(raynas.freeze(net, architecture)(images), net(images), rtol=1e-12, atol=1e-12)


def test_it_trains() -> None:
    net = tiny()
    mutator, optimizer = RandomMutator(net, seed=0), torch.optim.SGD(net.parameters(), lr=0.05)
    images, labels = torch.randn(8, 3, 16, 16), torch.arange(8) % 4
    for _ in range(3):
        mutator.reset()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
    assert all(parameter.isfinite().all() for parameter in net.parameters())


def test_odd_channels_are_refused() -> None:
    with pytest.raises(OptionError, match="15 channels"):
        ShuffleNet(10, ((15, 1),))
