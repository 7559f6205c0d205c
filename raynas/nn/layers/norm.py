"""Normalisation with numbers of features that may be values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional

from raynas.nn.layers.base import Number, SlicedLayer, Tensors, largest


class SlicedBatchNorm(SlicedLayer):
    """What batch norms of one and two dimensions share. Running statistics are sliced like weights: those of the first channels
    are a mixture over all widths, so compute them anew before an architecture is scored.

    Args:
        num_features: a number or a value.
        eps, momentum, affine, track_running_stats: as torch's.
    """

    plain: ClassVar[type[nn.Module]]
    unvarying = frozenset({"eps", "momentum", "affine", "track_running_stats"})
    eps: float
    momentum: float | None
    track_running_stats: bool
    running_mean: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: Number,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        most = largest(type(self).__name__, "num_features", num_features)
        others = {"eps": eps, "momentum": momentum, "affine": affine, "track_running_stats": track_running_stats}
        self.plain.__init__(self, most, **others)
        self.take(num_features=num_features, **others)

    def cut(self, tensors: Tensors, now: Mapping[str, Any]) -> dict[str, Tensor]:
        return {name: tensor[: now["num_features"]] for name, tensor in tensors.items() if tensor.dim()}

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)  # type: ignore[operator]
        momentum = self.momentum
        tracks = self.track_running_stats or not self.training  # as torch's: it may be switched off later
        if self.training and tracks and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:  # the plain mean over all batches
                momentum = 1.0 / float(self.num_batches_tracked)
        cut = self.cut(self.whole(), self.now())
        return functional.batch_norm(
            input,
            cut.get("running_mean") if tracks else None,
            cut.get("running_var") if tracks else None,
            cut.get("weight"),
            cut.get("bias"),
            training=self.training or self.running_mean is None,
            momentum=momentum or 0.0,
            eps=self.eps,
        )


class BatchNorm1d(SlicedBatchNorm, nn.BatchNorm1d):
    """``torch.nn.BatchNorm1d``; see ``SlicedBatchNorm``.

    Shapes:
        Input and output (batch, num_features) or (batch, num_features, length), by the current value.
    """

    plain = nn.BatchNorm1d


class BatchNorm2d(SlicedBatchNorm, nn.BatchNorm2d):
    """``torch.nn.BatchNorm2d``; see ``SlicedBatchNorm``.

    Shapes:
        Input and output (batch, num_features, height, width), by the current value.
    """

    plain = nn.BatchNorm2d


class LayerNorm(SlicedLayer, nn.LayerNorm):
    """``torch.nn.LayerNorm``; the first entries of each normalised dimension are kept.

    Args:
        normalized_shape: a number or a value, or several of them.
        eps, elementwise_affine, bias: as torch's.

    Shapes:
        Input and output (\\*, \\*normalized_shape), by the current values.
    """

    plain = nn.LayerNorm
    unvarying = frozenset({"eps", "elementwise_affine", "bias"})

    def __init__(
        self,
        normalized_shape: Number | tuple[Number, ...] | list[Number],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        shape = tuple(normalized_shape) if isinstance(normalized_shape, tuple | list) else (normalized_shape,)
        most = largest("LayerNorm", "normalized_shape", shape)
        nn.LayerNorm.__init__(self, most, eps=eps, elementwise_affine=elementwise_affine, bias=bias)
        self.take(
            normalized_shape=shape if len(shape) > 1 else shape[0], eps=eps, elementwise_affine=elementwise_affine, bias=bias
        )

    def cut(self, tensors: Tensors, now: Mapping[str, Any]) -> dict[str, Tensor]:
        place = tuple(slice(size) for size in _shape(now))
        return {name: tensor[place] for name, tensor in tensors.items()}

    def forward(self, input: Tensor) -> Tensor:
        now = self.now()
        cut = self.cut(self.whole(), now)
        return functional.layer_norm(input, _shape(now), cut.get("weight"), cut.get("bias"), self.eps)


def _shape(now: Mapping[str, Any]) -> tuple[int, ...]:
    shape: Any = now["normalized_shape"]
    return shape if isinstance(shape, tuple) else (shape,)
