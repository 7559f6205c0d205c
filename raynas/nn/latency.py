"""How long one architecture takes, measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from raynas.errors import OptionError
from raynas.nn.freeze import freeze
from raynas.nn.sample_input import place_inputs


@dataclass(frozen=True)
class Latency:
    """Times of forward passes, in seconds.

    Attributes:
        median: of all repeats.
        low, high: their quartiles, between which half of them lie.
        repeats: how many there were.
    """

    median: float
    low: float
    high: float
    repeats: int


def measure_latency(
    model: nn.Module,
    architecture: Mapping[str, Any],
    sample_input: Any,
    device: str | torch.device = "cpu",
    *,
    warmup: int = 10,
    repeats: int = 50,
) -> Latency:
    """Freeze an architecture and time its forward pass in eval mode, without gradients.

    On a GPU each repeat waits until the work is done. Other work on the machine makes every figure larger: compare figures of
    one run only.

    Args:
        model: a model with mutables; it stays as it is.
        architecture: of its space.
        sample_input: a tensor, or a tuple of the arguments of ``forward``, with the batch dimension.
        device: where it runs.
        warmup: passes that are not counted.
        repeats: passes that are.

    Raises:
        OptionError: ``warmup`` is negative, ``repeats`` is not positive, or the device is not there.
        ArchitectureError: the architecture does not fit the model's space.

    Example:
        >>> import torch
        >>> from raynas.nn import LayerChoice
        >>> net = LayerChoice({"small": nn.Linear(4, 2), "large": nn.Linear(4, 512)}, key="op")
        >>> measure_latency(net, {"op": {"_value": "small"}}, torch.zeros(1, 4)).median < 1
        True
    """
    if warmup < 0 or repeats < 1:
        raise OptionError(f"warmup is {warmup} and repeats {repeats}; expected at least 0 and 1")
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise OptionError(f"device is {device!r}; expected one of PyTorch's, such as 'cpu' or 'cuda': {error}") from None
    if place.type == "cuda" and not torch.cuda.is_available():
        raise OptionError(f"device {device} was asked for, but PyTorch sees no GPU here")
    plain = freeze(model, architecture).to(place).eval()
    inputs = place_inputs(sample_input, place)
    seconds = []
    with torch.inference_mode():
        for number in range(warmup + repeats):
            _wait(place)
            start = time.perf_counter()
            plain(*inputs)
            _wait(place)
            if number >= warmup:
                seconds.append(time.perf_counter() - start)
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive") if repeats > 1 else seconds * 3
    return Latency(median, low, high, repeats)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
