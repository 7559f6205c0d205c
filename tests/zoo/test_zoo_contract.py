"""What every space of the zoo keeps to: its size is the closed form, all of it trains, and freezing changes no output."""

import os
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import raynas.zoo as zoo
from raynas.mutators import RandomMutator
from raynas.nn import Profile, Profiler, Varying, freeze, generate_search_space

NUM_ARCHITECTURES = 10
NUM_PROFILES = 200 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 2


class Case(NamedTuple):
    """One space.

    Attributes:
        tiny: makes a model that trains in milliseconds.
        tiny_size: of its space, written as its docstring has it.
        default: makes the model of the paper; with fewer cells where all cells make the same choices.
        default_size: of its space.
        inputs: makes a batch of 2 for the tiny model.
        outputs: shape of what comes out.
    """

    tiny: Callable[[], nn.Module]
    tiny_size: int
    default: Callable[[], nn.Module]
    default_size: int
    inputs: Callable[[], Tensor] = lambda: torch.randn(2, 3, 8, 8)
    outputs: tuple[int, ...] = (2, 10)


def tiny_mobilenet(squeeze_excite: bool) -> nn.Module:
    stages = (zoo.MobileStage(4, 2, 2), zoo.MobileStage(4, 1, 1, nn.Hardswish, squeeze_excite=squeeze_excite))
    return zoo.MobileNet(10, zoo.MobileDesign(stages, stem=4, first=4, head=(8,), stem_stride=1))


def tiny_autoformer() -> nn.Module:
    sizes = zoo.AutoFormerSizes(widths=(8, 12), depths=(1, 2), heads=(1, 2, 3), ratios=(1.5, 2.0), head_size=4)
    return zoo.AutoFormer(10, sizes, image_size=8, patch_size=4)


def tiny_gpt() -> nn.Module:
    return zoo.GPT(10, 6, zoo.GPTSizes(widths=(8, 12), depths=(1, 2), heads=(1, 2), ratios=(2, 3)))


CASES = {
    "Darts": Case(
        lambda: zoo.Darts(10, 2, 3, num_nodes=2), (3 * 7**4) ** 2, lambda: zoo.Darts(num_cells=3), (180 * 7**8) ** 2
    ),
    "EnasMacro": Case(lambda: zoo.EnasMacro(10, 4, 6), 6**6 * 2**15, zoo.EnasMacro, 6**12 * 2 ** (12 * 11 // 2)),
    "EnasMicro": Case(
        lambda: zoo.EnasMicro(10, 2, 1, num_nodes=2), (3 * 5**4) ** 2, lambda: zoo.EnasMicro(num_cells=1), (2700 * 5**10) ** 2
    ),
    "NasBench201": Case(lambda: zoo.NasBench201(10, 4, 2), 5**6, zoo.NasBench201, 15_625),
    "NasBenchMacro": Case(lambda: zoo.NasBenchMacro(10, (4, 4, 8), 8, stem_channels=4), 3**8, zoo.NasBenchMacro, 6_561),
    "MobileNet": Case(lambda: tiny_mobilenet(False), 6 * 7**2, zoo.MobileNet, 6**6 * 7**15),
    "MobileNet-V3": Case(lambda: tiny_mobilenet(True), 6 * 7**2, lambda: zoo.MobileNet(1000, zoo.MOBILENET_V3), 6**5 * 7**15),
    "ShuffleNet": Case(
        lambda: zoo.ShuffleNet(10, ((8, 2), (8, 1)), stem_channels=8, head_channels=8), 4**3, zoo.ShuffleNet, 4**20,
        lambda: torch.randn(2, 3, 16, 16),
    ),
    "AutoFormer": Case(tiny_autoformer, 2 * (6 + 6**2), zoo.AutoFormer, 3 * (4**12 + 4**13 + 4**14)),
    "GPT": Case(
        tiny_gpt, 2 * (4 + 4**2), zoo.GPT, 3 * (9**2 + 9**3 + 9**4 + 9**5 + 9**6), lambda: torch.randint(10, (2, 6)), (2, 6, 10)
    ),
}  # fmt: skip


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    return CASES[request.param]


def test_every_space_has_a_case() -> None:
    public = [getattr(zoo, name) for name in zoo.__all__]
    spaces = {entry.__name__ for entry in public if isinstance(entry, type) and issubclass(entry, nn.Module)}
    assert spaces == {name.partition("-")[0] for name in CASES}


def test_public_names_are_sorted() -> None:
    constants, classes = [name for name in zoo.__all__ if name.isupper()], [name for name in zoo.__all__ if not name.isupper()]
    assert zoo.__all__ == [*sorted(constants), *sorted(classes)]


def test_the_size_is_the_closed_form(case: Case) -> None:
    assert generate_search_space(case.tiny()).size == case.tiny_size
    with torch.device("meta"):
        assert generate_search_space(case.default()).size == case.default_size


def test_random_architectures_train(case: Case) -> None:
    model, inputs = case.tiny(), case.inputs()
    mutator = RandomMutator(model, seed=0)
    for _ in range(NUM_ARCHITECTURES):
        mutator.reset()
        model.zero_grad()
        output = model(inputs)
        assert output.shape == case.outputs
        nn.functional.cross_entropy(output.flatten(0, -2), torch.arange(len(output.flatten(0, -2))) % 10).backward()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert any(gradient.any() for gradient in gradients)


def test_freezing_keeps_outputs(case: Case) -> None:
    model, inputs = case.tiny(), case.inputs()
    mutator, rng = RandomMutator(model), Random(0)
    architectures = [mutator.space.sample(rng) for _ in range(NUM_ARCHITECTURES)]
    for architecture in architectures:  # so that running statistics are not what they began as
        mutator.apply_architecture(architecture)
        with torch.no_grad():
            model(inputs)
    model.eval()
    for architecture in architectures:
        mutator.apply_architecture(architecture)
        plain = freeze(model, architecture)
        assert not [module for module in plain.modules() if isinstance(module, Varying)]
        with torch.no_grad():
            torch.testing.assert_close(plain(inputs), model(inputs))


def test_profiles_are_those_of_the_frozen_model(case: Case, run_for_real: Callable[..., Profile]) -> None:
    model, inputs, rng = case.tiny(), case.inputs(), Random(1)
    profiler = Profiler(model, inputs, activations=True)
    for _ in range(NUM_PROFILES):
        architecture = profiler.space.sample(rng)
        assert profiler.profile(architecture) == run_for_real(freeze(model, architecture), inputs)
