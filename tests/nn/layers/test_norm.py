"""``BatchNorm1d``, ``BatchNorm2d`` and ``LayerNorm`` beside torch's of the sliced size."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ModelError
from raynas.mutators import RandomMutator
from raynas.nn import BatchNorm1d, BatchNorm2d, LayerNorm, ValueChoice

Compare = Callable[..., None]
STATISTICS = ("running_mean", "running_var")


def width() -> ValueChoice:
    return ValueChoice([2, 5, 3], key="width")


@pytest.mark.parametrize("features", [2, 3, 5])
@pytest.mark.parametrize("options", [{}, {"momentum": None, "eps": 1e-2}, {"momentum": 0.0}, {"affine": False}])
@pytest.mark.parametrize(
    ("kind", "plain", "shape"),
    [(BatchNorm1d, nn.BatchNorm1d, ()), (BatchNorm1d, nn.BatchNorm1d, (4,)), (BatchNorm2d, nn.BatchNorm2d, (3, 2))],
    ids=["1d", "1d with length", "2d"],
)
def test_every_number_of_features_is_torchs_layer_of_that_size(
    compare: Compare, kind: Any, plain: Any, shape: tuple[int, ...], options: dict[str, Any], features: int
) -> None:
    layer = kind(width(), **options)
    assert layer.running_mean.shape == (5,)
    names = ("weight", "bias", *STATISTICS) if options.get("affine", True) else STATISTICS
    places = {**dict.fromkeys(names, slice(features)), "num_batches_tracked": ...}
    compare(layer, {"width": features}, plain(features, **options), places, torch.randn(6, features, *shape).double() + 1)


@pytest.mark.parametrize("features", [2, 5])
def test_without_statistics_batches_are_normalised_in_both_modes(compare: Compare, features: int) -> None:
    layer, plain = BatchNorm1d(width(), track_running_stats=False), nn.BatchNorm1d(features, track_running_stats=False)
    places = dict.fromkeys(("weight", "bias"), slice(features))
    compare(layer, {"width": features}, plain, places, torch.randn(6, features).double())


@pytest.mark.parametrize("momentum", [0.1, None])
def test_training_moves_the_first_statistics_only(momentum: float | None) -> None:
    layer = BatchNorm2d(width(), momentum=momentum)
    RandomMutator(layer).apply_architecture({"width": 2})
    layer(torch.randn(4, 2, 3, 3) * 3 + 7)
    assert layer.running_mean[:2].ne(0).all()
    assert layer.running_mean[2:].eq(0).all()
    assert layer.running_var[:2].ne(1).all()
    assert layer.running_var[2:].eq(1).all()
    assert layer.num_batches_tracked == 1


@pytest.mark.parametrize("training", [True, False])
def test_tracking_is_switched_off_as_in_torchs(training: bool) -> None:
    layer, plain = BatchNorm1d(width()).train(training), nn.BatchNorm1d(2).train(training)
    RandomMutator(layer).apply_architecture({"width": 2})
    layer.track_running_stats = plain.track_running_stats = False
    x = torch.randn(6, 2)
    torch.testing.assert_close(layer(x), plain(x))
    assert layer.running_mean.eq(0).all()
    assert layer.num_batches_tracked == plain.num_batches_tracked == 0


@pytest.mark.parametrize("kind", [BatchNorm1d, BatchNorm2d])
def test_an_input_of_other_dimensions_is_refused_as_torch_does(kind: Any) -> None:
    layer = kind(width())
    RandomMutator(layer).apply_architecture({"width": 2})
    with pytest.raises(ValueError, match=r"expected .*D"):
        layer(torch.zeros(2, 2, 2, 2, 2))


@pytest.mark.parametrize("features", [2, 3, 5])
@pytest.mark.parametrize("options", [{}, {"bias": False, "eps": 0.1}, {"elementwise_affine": False}])
def test_layer_norm_of_every_size_is_torchs(compare: Compare, features: int, options: dict[str, Any]) -> None:
    plain = nn.LayerNorm(features, **options)
    places = {name: slice(features) for name, _ in plain.named_parameters()}
    compare(LayerNorm(width(), **options), {"width": features}, plain, places, torch.randn(4, 3, features).double())


@pytest.mark.parametrize("kind", [tuple, list])
@pytest.mark.parametrize(("height", "features"), [(2, 3), (4, 5)])
def test_layer_norm_over_several_dimensions_slices_each(compare: Compare, kind: Any, height: int, features: int) -> None:
    layer = LayerNorm(kind([ValueChoice([2, 4], key="height"), width() * 2, 3]))
    assert layer.weight.shape == (4, 10, 3)
    places = dict.fromkeys(("weight", "bias"), (slice(height), slice(2 * features)))
    x = torch.randn(2, height, 2 * features, 3).double()
    compare(layer, {"height": height, "width": features}, nn.LayerNorm((height, 2 * features, 3)), places, x)


def test_layer_norm_of_one_number_in_a_tuple_is_torchs(compare: Compare) -> None:
    x: Tensor = torch.randn(2, 3).double()
    compare(LayerNorm((width(),)), {"width": 3}, nn.LayerNorm((3,)), dict.fromkeys(("weight", "bias"), slice(3)), x)


@pytest.mark.parametrize("kind", [BatchNorm1d, BatchNorm2d, LayerNorm])
@pytest.mark.parametrize("wrong", [0, 2.5, "2"])
def test_a_size_that_is_none_is_refused(kind: Any, wrong: object) -> None:
    with pytest.raises(ModelError, match=f"{kind.__name__}: .* expected a positive integer"):
        kind(ValueChoice([2, wrong], key="width"))
