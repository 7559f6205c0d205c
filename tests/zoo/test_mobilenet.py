import random

import pytest
import torch
from torch import nn

import raynas
from raynas.errors import OptionError
from raynas.mutators import RandomMutator
from raynas.nn import find_mutables
from raynas.zoo import MobileDesign, MobileNet, MobileStage

TINY = MobileDesign((MobileStage(8, 2, 2), MobileStage(12, 2, 1)), stem=8, first=8, head=(16,))
TINY_V3 = MobileDesign(
    (MobileStage(8, 2, 1, nn.ReLU, squeeze_excite=True), MobileStage(12, 2, 2, nn.Hardswish, squeeze_excite=True)),
    stem=8,
    first=8,
    head=(16, 24),
    activation=nn.Hardswish,
)


def test_the_space_of_the_paper_has_21_layers() -> None:
    with torch.device("meta"):
        space = raynas.generate_search_space(MobileNet())
    assert len(space) == 21
    without_skip = [key for key, domain in space.items() if "skip" not in domain.candidates]
    assert without_skip == [f"stage{stage}.layer0" for stage in range(6)]
    assert space["stage0.layer1"].candidates == ("mb3_3x3", "mb3_5x5", "mb3_7x7", "mb6_3x3", "mb6_5x5", "mb6_7x7", "skip")


def test_mobilenet_v2_is_one_of_the_architectures_around_its_channels() -> None:
    rows = ((24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))  # Sandler et al., table 2
    with torch.device("meta"):
        net = MobileNet(design=MobileDesign(tuple(MobileStage(*row) for row in rows)))
        keys = raynas.generate_search_space(net)
        plain = raynas.freeze(net, {key: {"_value": "mb6_3x3"} for key in keys})
    assert sum(parameter.numel() for parameter in plain.parameters()) == 3_504_872  # torchvision's mobilenet_v2


def test_a_skip_leaves_the_layer_out_and_no_mutable_is_left() -> None:
    net = MobileNet(10, TINY)
    choices = {"stage0.layer0": "mb3_5x5", "stage0.layer1": "skip", "stage1.layer0": "mb6_3x3", "stage1.layer1": "skip"}
    plain = raynas.freeze(net, {key: {"_value": name} for key, name in choices.items()})
    assert isinstance(plain.layers[1], nn.Identity)
    assert plain.layers[0].body[1].kernel_size == (5, 5)
    assert plain.layers[0].body[1].groups == 8 * 3
    assert not find_mutables(plain)


@pytest.mark.parametrize("design", [TINY, TINY_V3], ids=["proxyless", "v3"])
def test_frozen_models_compute_what_the_supernet_computes(design: MobileDesign) -> None:
    torch.manual_seed(0)
    net = MobileNet(10, design, kernels=(3, 5)).double().eval()
    mutator, images = RandomMutator(net, seed=0), torch.randn(2, 3, 16, 16, dtype=torch.float64)
    for seed in range(5):
        architecture = mutator.space.sample(random.Random(seed))
        mutator.apply_architecture(architecture)
        torch.testing.assert_close(raynas.freeze(net, architecture)(images), net(images), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("design", [TINY, TINY_V3], ids=["proxyless", "v3"])
def test_it_trains(design: MobileDesign) -> None:
    torch.manual_seed(0)
    net = MobileNet(4, design, kernels=(3,), dropout=0.1)
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


def test_squeeze_excite_weighs_channels() -> None:
    net = MobileNet(10, TINY_V3, kernels=(3,))
    block = net.layers[0]["mb3_3x3"].body[4]
    with torch.no_grad():
        block.weigh[3].weight.zero_()
        block.weigh[3].bias.copy_(torch.linspace(-6, 6, 24))  # a hard sigmoid is 0 up to -3 and 1 from 3
    weighed = block(torch.ones(1, 24, 2, 2))[0, :, 0, 0]
    assert weighed[0] == 0
    assert weighed[-1] == 1
    assert (weighed.diff() >= 0).all()


@pytest.mark.parametrize(("design", "kernels"), [(TINY, (3, 4)), (MobileDesign(TINY.stages, head=()), (3,))])
def test_what_cannot_be_built_is_refused(design: MobileDesign, kernels: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="odd kernels"):
        MobileNet(10, design, kernels=kernels)
